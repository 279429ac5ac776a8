// Find from the events whose turn it is, and the latency of each part of a turn.

/** The states of a conversation, with their texts. */
export const STATES = {
  offline: "Not connected",
  connecting: "Connecting…",
  listening: "Listening",
  hearing: "You are speaking",
  thinking: "Thinking…",
  answering: "Answering…",
  speaking: "The bot is speaking",
};

/** The state of the conversation. `now` is a name in `STATES`. */
export class TurnState {
  #onChange;
  #speaks = false; // what is being answered is spoken too
  #said = false; // words were recognised in what the user says

  constructor(onChange) {
    this.#onChange = onChange;
    this.now = "offline";
  }

  set(state) {
    if (state === this.now) return;
    this.now = state;
    this.#onChange(state);
  }

  /** Handle one event of the session. */
  take(type, data = {}) {
    const next = this.#next(type, data);
    if (next) this.set(next);
  }

  #next(type, data) {
    switch (type) {
      case "user-started-speaking":
        this.#said = false;
        return "hearing";
      case "user-stopped-speaking":
        return this.now === "hearing" ? "thinking" : null;
      case "user-transcription":
        this.#said ||= data.final && data.text !== "";
        return null;
      case "metrics": // the STT has finished: nothing follows what had no words
        return this.now === "thinking" && !this.#said && isOfSTT(data) ? "listening" : null;
      case "user-llm-text":
        this.#said = true;
        return this.now === "hearing" ? null : "thinking";
      case "bot-llm-started":
        this.#speaks = false;
        return ["speaking", "hearing"].includes(this.now) ? null : "thinking";
      case "bot-output":
        this.#speaks ||= Boolean(data.will_be_spoken);
        return null;
      case "bot-llm-text":
        return this.now === "thinking" ? "answering" : null;
      case "bot-llm-stopped":
        return !this.#speaks && ["thinking", "answering"].includes(this.now) ? "listening" : null;
      case "bot-started-speaking":
        return this.now === "hearing" ? null : "speaking";
      case "bot-stopped-speaking":
        return this.now === "hearing" ? null : "listening";
      default:
        return null;
    }
  }
}

const isOfSTT = ({ ttfb = [] }) => ttfb.some(({ processor }) => processor === "stt");

const PARTS = ["stt", "llm", "tts"];

/**
 * The latency of the parts of each turn, in milliseconds. `turns` holds `{number, stt, llm, tts, total, typed}`. Parts
 * without a metric are missing. `kinds` maps names of services to their kinds. The bot measures the total of a spoken
 * turn, from voice to voice. The total of a `typed` turn is measured here, from sending to the first sound, or to the
 * first text of an answer that is not spoken.
 */
export class Timings {
  turns = [];
  #most;
  #current = null;
  #fresh = true;
  #begun = new Set();
  #count = 0;
  #clock;
  #sent = []; // typed texts that the bot has not taken yet
  #since = null; // when the text was sent that the bot answers

  constructor({ most = 12, kinds = {}, clock = () => performance.now() } = {}) {
    this.#most = most;
    this.#clock = clock;
    this.kinds = kinds;
  }

  clear() {
    this.turns = [];
    this.#current = null;
    this.#fresh = true;
    this.#begun.clear();
    this.#count = 0;
    this.#since = null;
  }

  /** Note that the user sends a text. */
  typed(text) {
    this.#sent.push({ text, at: this.#clock() });
  }

  /** Handle one event. Return whether there is something new to show. */
  take(type, data = {}) {
    switch (type) {
      case "user-started-speaking":
        if (this.#current && !this.#begun.has("llm") && !this.#fresh) delete this.#current.stt; // the user goes on
      // falls through
      case "user-llm-text":
        this.#since = this.#takeSent(type, data.text ?? "");
        if (this.#current && (this.#current.llm !== undefined || this.#current.tts !== undefined)) this.#renew();
        return false;
      case "bot-llm-started":
        this.#begun.add("llm");
        return false;
      case "bot-llm-text":
        return this.#answered(false);
      case "bot-started-speaking":
        return this.#answered(true);
      case "bot-tts-started":
        this.#begun.add("tts");
        return false;
      case "metrics":
        return this.#measure(data);
      default:
        return false;
    }
  }

  // Texts that were sent while the bot was busy may be merged into one.
  #takeSent(type, text) {
    if (type !== "user-llm-text") return null;
    const found = this.#sent.findLastIndex((each) => text.includes(each.text));
    return found < 0 ? null : this.#sent.splice(0, found + 1).at(-1).at;
  }

  #answered(aloud) {
    if (this.#since === null) return false;
    const turn = this.#turn();
    if (!aloud && turn.total !== undefined) return false;
    Object.assign(turn, { typed: true, total: this.#clock() - this.#since });
    if (aloud) this.#since = null;
    return true;
  }

  #renew() {
    this.#fresh = true;
    this.#begun.clear();
  }

  #measure({ ttfb = [], voice_to_voice = [] }) {
    let news = false;
    for (const { processor, value } of ttfb) news = this.#note(this.kinds[processor] ?? processor, value) || news;
    for (const { value } of voice_to_voice) news = this.#note("total", value) || news;
    return news;
  }

  #note(part, seconds) {
    if (part !== "total" && !PARTS.includes(part)) return false;
    // The last metrics of an interrupted turn do not belong to the next turn.
    if ((part === "llm" || part === "tts") && !this.#begun.has(part)) return false;
    const turn = this.#turn();
    // Of the utterances that are merged into one turn, the last one delayed the answer.
    const replaces = part === "stt" && !this.#begun.has("llm");
    if (turn[part] !== undefined && !replaces) return false;
    turn[part] = seconds * 1000;
    return true;
  }

  #turn() {
    if (this.#fresh || !this.#current) {
      this.#current = { number: ++this.#count };
      this.#fresh = false;
      this.turns = [...this.turns, this.#current].slice(-this.#most);
    }
    return this.#current;
  }
}
