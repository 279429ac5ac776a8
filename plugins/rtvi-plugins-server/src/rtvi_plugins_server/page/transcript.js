// The transcript of both sides, in order. It follows the conversation unless the user scrolls up.

import { make } from "./elements.js";
import { BotEntry, UserEntry } from "./entries.js";

const MOST = 300; // entries
const NEAR = 60; // px from the end at which one is still at the end
const PAUSE = 1000; // ms after which the bot, unasked, says something new

/** Shows both sides of a conversation. Calls `announce` with text that is not spoken, for screen readers. */
export class Transcript {
  #list;
  #announce;
  #clock;
  #follows = true; // until the user scrolls back
  #user; // the user's entry that is still being spoken or understood
  #typed; // entries of typed text that the bot has not taken yet
  #bot; // the bot's last entry
  #open; // the bot's entries of which more may be heard
  #segments; // the bot's entries by the ids of their sentences
  #next; // what the bot says next begins an entry of its own
  #writing; // the LLM goes on
  #late; // what the LLM still writes is of an answer that was interrupted
  #said; // when the bot last said something new
  #began; // when the conversation began
  #aloud = true; // what the bot says is spoken

  constructor(list, { announce, clock = () => performance.now() }) {
    this.#list = list;
    this.#announce = announce;
    this.#clock = clock;
    this.clear();
    list.addEventListener("scroll", () => (this.#follows = this.#atEnd()));
    // A notice or an on-screen keyboard may make the list smaller.
    new ResizeObserver(() => this.#keep()).observe(list);
  }

  clear() {
    this.#list.replaceChildren();
    this.#user = this.#bot = null;
    this.#typed = [];
    this.#open = new Set();
    this.#segments = new Map();
    this.#next = this.#follows = true;
    this.#writing = this.#late = false;
    this.#said = 0;
    this.#began = this.#clock();
  }

  /** Show the user's typed text before the bot confirms it. */
  typed(text) {
    const entry = new UserEntry(this.#add("user"));
    entry.typed(text);
    this.#typed.push(entry);
    this.#follow();
  }

  /** Add another element at the present place in the conversation. */
  insert(element) {
    const item = this.#add("note");
    item.append(element);
    this.#follow();
  }

  /** Handle one event of the session. */
  take(type, data = {}) {
    this.#events[type]?.(data ?? {});
    this.#keep();
  }

  #events = {
    "user-transcription": (data) => this.#heard(data),
    "user-llm-text": (data) => this.#taken(data.text),
    "bot-llm-started": () => this.#begun(),
    "bot-llm-text": ({ text }) => this.#answer().stream(text),
    "bot-output": (data) => this.#output(data),
    "bot-tts-text": ({ text }) => [...this.#open].some((each) => each.hear(text)),
    "bot-llm-stopped": () => this.#written(),
    "bot-stopped-speaking": () => this.#spoken(),
    "bot-interrupted": () => this.#interrupted(),
    // Another process goes on, and starts an answer again that was not finished.
    resumed: ({ about }) => about?.resume?.restored && this.#interrupted(),
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
    this.#spoken(); // also what a voice that failed has never begun to say
    const waiting = this.#typed.findIndex((each) => text.includes(each.text));
    if (waiting >= 0) this.#typed.splice(waiting, 1)[0].settle();
    else if (this.#user) this.#user.taken(text);
    else new UserEntry(this.#add("user")).taken(text);
  }

  // Update a known sentence in its own entry, even if the next answer has started.
  #output(data) {
    const entry = this.#segments.get(data.segment_id) ?? this.#answer();
    this.#segments.set(data.segment_id, entry);
    entry.output(data);
    this.#aloud = Boolean(data.will_be_spoken);
  }

  #begun() {
    this.#next = this.#writing = true;
    this.#late = false;
  }

  #answer() {
    if (this.#late) return this.#bot;
    const now = this.#clock();
    if (!this.#bot || this.#isNew(now)) {
      this.#bot = new BotEntry(this.#add("bot"), { aloud: this.#aloud });
      for (const [id, entry] of this.#segments) if (entry.ended) this.#segments.delete(id);
      this.#open.add(this.#bot);
      this.#user = null;
    }
    this.#next = false;
    this.#said = now;
    return this.#bot;
  }

  // Text that is not from the LLM, such as a greeting, arrives whole and without a start event.
  #isNew(now) {
    return this.#bot.ended || (this.#next ? !this.#bot.empty : !this.#writing && now - this.#said > PAUSE);
  }

  #written() {
    this.#writing = this.#late = false;
    if (!this.#bot || this.#bot.spoken) return;
    if (!this.#bot.ended && this.#bot.text) this.#announce(this.#bot.text);
    this.#end(this.#bot);
  }

  #spoken() {
    for (const each of this.#open) this.#end(each);
  }

  #interrupted() {
    this.#late = this.#writing && !this.#next;
    for (const each of this.#open) {
      each.interrupt({ written: this.#late && each === this.#bot });
      this.#end(each);
    }
  }

  #end(entry) {
    entry.end();
    this.#open.delete(entry);
  }

  #add(who) {
    const at = (this.#clock() - this.#began) / 1000;
    const item = make("li", { class: `entry ${who}`, "data-who": who, "data-at": at.toFixed(1) });
    this.#list.append(item);
    if (this.#list.childElementCount > MOST) this.#list.firstElementChild.remove();
    return item;
  }

  #atEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#list;
    return scrollHeight - scrollTop - clientHeight < NEAR;
  }

  #keep() {
    if (this.#follows) this.#follow();
  }

  #follow() {
    this.#follows = true;
    this.#list.scrollTop = this.#list.scrollHeight;
  }
}
