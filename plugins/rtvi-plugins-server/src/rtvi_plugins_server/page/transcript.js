// The transcript: what the user says as it is understood, and what the bot says as it is heard.

import { make } from "./elements.js";

const MOST = 300; // entries

/** Shows both sides of a conversation. `announce` is given what is only written, for screen readers. */
export class Transcript {
  #list;
  #announce;
  #user = null; // the user's entry that is still being spoken or understood
  #typed = []; // entries of typed text that the bot has not taken yet
  #bot = null;
  #next = true; // what the bot says next begins an entry of its own

  constructor(list, { announce }) {
    this.#list = list;
    this.#announce = announce;
  }

  clear() {
    this.#list.replaceChildren();
    this.#user = this.#bot = null;
    this.#typed = [];
    this.#next = true;
  }

  /** Show what the user has typed, before the bot has taken it. */
  typed(text) {
    const entry = new UserEntry(this.#add("user"));
    entry.typed(text);
    this.#typed.push(entry);
  }

  /** Add an element of another kind, in its place in the conversation. */
  insert(element) {
    const item = this.#add("note");
    item.append(element);
    this.#follow();
  }

  /** Take one event of the session. */
  take(type, data = {}) {
    const follows = this.#atEnd();
    this.#events[type]?.(data);
    if (follows) this.#follow();
  }

  #events = {
    "user-transcription": (data) => this.#heard(data),
    "user-llm-text": (data) => this.#taken(data.text),
    "bot-llm-started": () => (this.#next = true),
    "bot-llm-text": ({ text }) => this.#answer().stream(text),
    "bot-output": (data) => this.#output(data),
    "bot-tts-text": ({ text }) => this.#bot?.hear(text),
    "bot-llm-stopped": () => this.#written(),
    "bot-stopped-speaking": () => this.#bot?.end(),
    "bot-interrupted": () => this.#bot?.interrupt(),
  };

  #heard({ text, final }) {
    if (!this.#user && !text) return;
    this.#user ??= new UserEntry(this.#add("user"));
    this.#user.heard(text, final);
    if (this.#user.empty) {
      this.#user.remove();
      this.#user = null;
    }
  }

  #taken(text) {
    const waiting = this.#typed.findIndex((each) => text.includes(each.text));
    if (waiting >= 0) this.#typed.splice(waiting, 1)[0].settle();
    else if (this.#user) this.#user.taken(text);
    else new UserEntry(this.#add("user")).taken(text);
  }

  // A sentence that is known already is shown where it stands, also while the next turn has begun.
  #output(data) {
    const entry = this.#bot?.has(data.segment_id) ? this.#bot : this.#answer();
    entry.output(data);
  }

  #answer() {
    if (!this.#bot || this.#bot.interrupted || (this.#next && !this.#bot.empty)) {
      this.#bot = new BotEntry(this.#add("bot"));
      this.#user = null;
    }
    this.#next = false;
    return this.#bot;
  }

  #written() {
    if (!this.#bot || this.#bot.spoken) return;
    if (!this.#bot.ended && this.#bot.text) this.#announce(this.#bot.text);
    this.#bot.end();
  }

  #add(who) {
    const item = make("li", { class: `entry ${who}`, "data-who": who });
    this.#list.append(item);
    if (this.#list.childElementCount > MOST) this.#list.firstElementChild.remove();
    return item;
  }

  #atEnd() {
    const list = this.#list;
    return list.scrollHeight - list.scrollTop - list.clientHeight < 60;
  }

  #follow() {
    this.#list.scrollTop = this.#list.scrollHeight;
  }
}

class UserEntry {
  #element;
  #final = make("span", { class: "final" });
  #interim = make("span", { class: "interim", "aria-hidden": true });

  constructor(element) {
    this.#element = element;
    element.append(make("span", { class: "who" }, "You"), make("p", { class: "words" }, this.#final, this.#interim));
    element.dataset.final = "false";
  }

  get text() {
    return this.#final.textContent;
  }

  get empty() {
    return !this.text && !this.#interim.textContent;
  }

  typed(text) {
    this.#final.textContent = text;
    this.#element.classList.add("waiting");
  }

  /** The bot has taken what was typed. */
  settle() {
    this.#element.classList.remove("waiting");
    this.#element.dataset.final = "true";
  }

  heard(text, final) {
    const joint = this.text && text ? " " : "";
    this.#interim.textContent = final ? "" : joint + text;
    if (final) this.#final.textContent += joint + text;
    this.#element.dataset.final = String(final);
  }

  /** What the LLM is given has the last word. */
  taken(text) {
    this.#final.textContent = text;
    this.#interim.textContent = "";
    this.settle();
  }

  remove() {
    this.#element.remove();
  }
}

class BotEntry {
  #element;
  #words = make("p", { class: "words" });
  #tail = make("span", { class: "unheard tail" });
  #segments = new Map();
  #streamed = "";
  #shown = 0; // how much of what was streamed stands in sentences
  spoken = false;
  ended = false;
  interrupted = false;

  constructor(element) {
    this.#element = element;
    this.#words.append(this.#tail);
    element.append(make("span", { class: "who" }, "Bot"), this.#words);
  }

  get text() {
    return this.#words.textContent;
  }

  get empty() {
    return !this.text;
  }

  has(segment) {
    return this.#segments.has(segment);
  }

  stream(text) {
    this.#streamed += text;
    this.#showTail();
  }

  output({ text, segment_id, will_be_spoken, spoken_status, spoken_progress }) {
    const segment = this.#segments.get(segment_id) ?? this.#segment(segment_id, text);
    this.spoken ||= Boolean(will_be_spoken);
    if (!will_be_spoken || spoken_status === "completed") segment.hear(text.length);
    else if (spoken_status === "in-progress") segment.begin(spoken_progress?.accumulated_text?.length ?? 0);
  }

  #segment(id, text) {
    const at = this.#streamed.indexOf(text, this.#shown);
    if (at >= 0) this.#shown = at + text.length;
    const segment = new Segment(text);
    this.#segments.set(id, segment);
    this.#tail.before(segment.element, " ");
    this.#showTail();
    return segment;
  }

  #showTail() {
    this.#tail.textContent = this.#streamed.slice(this.#shown).trimStart();
  }

  /** A word or a sentence is being heard. */
  hear(text) {
    for (const segment of this.#segments.values()) if (segment.hearing && segment.find(text)) return;
  }

  end() {
    this.ended = true;
  }

  interrupt() {
    if (this.ended || this.empty) return;
    this.interrupted = this.ended = true;
    this.#element.dataset.interrupted = "true";
    this.#element.append(make("span", { class: "cut" }, "interrupted"));
  }
}

/** A sentence, of which as much is dark as has been heard. */
class Segment {
  #heard = make("span", { class: "heard" });
  #unheard = make("span", { class: "unheard" });
  #text;
  #at = 0;
  hearing = false;

  constructor(text) {
    this.#text = text;
    this.element = make("span", { class: "segment" }, this.#heard, this.#unheard);
    this.#show();
  }

  begin(length) {
    this.hearing = true;
    this.hear(length);
  }

  hear(length) {
    this.#at = Math.max(this.#at, length);
    this.hearing &&= this.#at < this.#text.length;
    this.#show();
  }

  find(text) {
    const at = this.#text.indexOf(text.trim(), this.#at);
    if (at >= 0) this.hear(at + text.trim().length);
    return at >= 0;
  }

  #show() {
    this.#heard.textContent = this.#text.slice(0, this.#at);
    this.#unheard.textContent = this.#text.slice(this.#at);
  }
}
