// The log of the last messages. The user can filter and copy them.

import { button, copyText, make } from "./elements.js";

const MOST = 500; // messages
const LONGEST = 20000; // characters of one message that are shown

// A sentence comes in many messages, which share a row: for each type, how to know the row and the row's last message.
const SENTENCE_END = /[.?!…]["'”’)\]]*\s*$/;
const ROWS = {
  "bot-llm-text": [() => "", ({ text }) => SENTENCE_END.test(text)],
  "bot-tts-text": [() => "", ({ text }) => SENTENCE_END.test(text)],
  "bot-output": [({ segment_id }) => segment_id, ({ spoken_status }) => spoken_status === "completed"],
  "user-transcription": [() => "", ({ final }) => final],
};
const NEW_ROWS = ["bot-llm-started", "bot-interrupted", "bot-ready"];

/** Shows sent and received messages, a row for each message or sentence. */
export class Log {
  #list;
  #entries = [];
  #rows = new Map(); // the entries that more messages may join
  #count = 0;
  #text = "";
  #direction = "";

  constructor({ list, filter, direction, copy, clear, status }) {
    this.#list = list;
    this.status = status;
    filter.addEventListener("input", () => this.#filter({ text: filter.value.trim().toLowerCase() }));
    direction.addEventListener("change", () => this.#filter({ direction: direction.value }));
    copy.addEventListener("click", () => this.#copy(this.#passing()));
    clear.addEventListener("click", () => this.clear());
  }

  /** Add a message that was "sent" or "received". */
  add(direction, message) {
    const list = this.#list;
    const follows = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    const one = { number: ++this.#count, at: new Date(), direction, message };
    const row = this.#rowOf(message);
    const known = this.#rows.get(row);
    if (NEW_ROWS.includes(message.type)) this.#rows.clear();
    const entry = known ?? this.#append(one);
    entry.messages.push(one);
    entry.show();
    if (row) this.#rows.set(row, entry);
    if (row && ROWS[message.type][1](message.data ?? {})) this.#rows.delete(row);
    if (this.#entries.length > MOST) this.#entries.shift().element.remove();
    if (follows) list.scrollTop = list.scrollHeight;
  }

  #rowOf({ type, data }) {
    return type in ROWS ? `${type} ${ROWS[type][0](data ?? {})}` : null;
  }

  #append({ direction, message, at }) {
    const entry = { direction, at, kind: message.type, type: typeOf(message), messages: [] };
    this.#draw(entry);
    entry.element.hidden = !this.#passes(entry);
    this.#entries.push(entry);
    this.#list.append(entry.element);
    return entry;
  }

  /** Draw the log when it becomes visible. */
  shown() {
    this.#list.scrollTop = this.#list.scrollHeight;
  }

  clear() {
    this.#entries = [];
    this.#rows.clear();
    this.#list.replaceChildren();
    this.#report("The log is empty.");
  }

  #passing() {
    return this.#entries.filter((each) => this.#passes(each));
  }

  #passes({ type, direction }) {
    return type.toLowerCase().includes(this.#text) && (!this.#direction || direction === this.#direction);
  }

  #filter({ text = this.#text, direction = this.#direction }) {
    this.#text = text;
    this.#direction = direction;
    for (const each of this.#entries) each.element.hidden = !this.#passes(each);
    this.#report(`${messagesOf(this.#passing()).length} of ${messagesOf(this.#entries).length} messages are shown.`);
  }

  async #copy(entries) {
    const messages = messagesOf(entries);
    const text = messages.map(({ direction, at, message }) =>
      JSON.stringify({ at: at.toISOString(), direction, message }),
    );
    const many = `${messages.length} ${messages.length === 1 ? "message" : "messages"} copied to the clipboard.`;
    this.#report(await copyText(text.join("\n"), many));
  }

  #report(sentence) {
    this.status.textContent = sentence;
  }

  #draw(entry) {
    const { direction, at, kind, type } = entry;
    const body = make("pre", { tabindex: 0 });
    const text = make("span", { class: "brief" });
    const many = make("span", { class: "many" });
    const time = at.toTimeString().slice(0, 8);
    const details = make(
      "details",
      {},
      make(
        "summary",
        {},
        make("time", { datetime: at.toISOString() }, `${time}.${String(at.getMilliseconds()).padStart(3, "0")}`),
        make("span", { class: `way ${direction}`, title: direction }, make("span", { class: "unseen" }, direction)),
        make("span", { class: "type" }, type),
        many,
        text,
      ),
      body,
    );
    const copy = button("Copy", () => this.#copy([entry]), { class: "quiet" });
    const fill = () => (body.textContent = clipped(bodyOf(entry.messages), LONGEST));
    details.addEventListener("toggle", () => {
      if (!details.open) return;
      fill();
      details.append(copy);
    });
    entry.show = () => {
      text.textContent = brief(entry.messages);
      many.textContent = entry.messages.length > 1 ? `×${entry.messages.length}` : "";
      if (details.open) fill();
    };
    entry.element = make("li", { "data-direction": direction, "data-type": kind }, details);
  }
}

function messagesOf(entries) {
  return entries.flatMap((each) => each.messages).sort((one, other) => one.number - other.number);
}

function bodyOf(messages) {
  return messages.map(({ message }) => JSON.stringify(message, null, 2)).join("\n");
}

// The type of a request is in its data.
function typeOf({ type, data }) {
  return (type === "client-message" || type === "server-response") && data?.t ? `${type} ${data.t}` : String(type);
}

// A sentence is shown as its text.
function brief(messages) {
  const { type, data } = messages.at(-1).message;
  if (type === "bot-llm-text") return clipped(messages.map(({ message }) => message.data.text).join(""), 160);
  if (type === "bot-tts-text") return clipped(messages.map(({ message }) => message.data.text).join(" "), 160);
  if (type in ROWS) return clipped([data?.text, data?.spoken_status].filter(Boolean).join(" · "), 160);
  return data === undefined || data === null ? "" : clipped(JSON.stringify(data.d ?? data), 160);
}

function clipped(text, length) {
  return text.length > length ? `${text.slice(0, length)}…` : text;
}
