// The log of the last messages. The user can filter and copy them.

import { copyText, make } from "./elements.js";

const MOST = 500; // messages
const LONGEST = 20000; // characters of one message that are shown

/** Shows sent and received messages. */
export class Log {
  #list;
  #entries = [];
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
    const entry = { direction, message, at: new Date(), type: typeOf(message) };
    entry.element = this.#element(entry);
    entry.element.hidden = !this.#passes(entry);
    const list = this.#list;
    const follows = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    this.#entries.push(entry);
    list.append(entry.element);
    if (this.#entries.length > MOST) this.#entries.shift().element.remove();
    if (follows) list.scrollTop = list.scrollHeight;
  }

  /** Draw the log when it becomes visible. */
  shown() {
    this.#list.scrollTop = this.#list.scrollHeight;
  }

  clear() {
    this.#entries = [];
    this.#list.replaceChildren();
    this.#tell("The log is empty.");
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
    this.#tell(`${this.#passing().length} of ${this.#entries.length} messages are shown.`);
  }

  async #copy(entries) {
    const text = entries.map(({ direction, at, message }) =>
      JSON.stringify({ at: at.toISOString(), direction, message }),
    );
    const copied = await copyText(text.join("\n"));
    const many = `${entries.length} ${entries.length === 1 ? "message" : "messages"} copied to the clipboard.`;
    this.#tell(copied ? many : "The browser does not allow this page to use the clipboard.");
  }

  #tell(sentence) {
    this.status.textContent = sentence;
  }

  #element(entry) {
    const { direction, message, at, type } = entry;
    const body = make("pre", { tabindex: 0 });
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
        make("span", { class: "brief" }, brief(message)),
      ),
      body,
    );
    const copy = make("button", { type: "button", class: "quiet" }, "Copy");
    copy.addEventListener("click", () => this.#copy([entry]));
    details.addEventListener("toggle", () => {
      if (!details.open) return;
      body.textContent = clipped(JSON.stringify(message, null, 2), LONGEST);
      details.append(copy);
    });
    return make("li", { "data-direction": direction, "data-type": message.type }, details);
  }
}

// The type of a request is in its data.
function typeOf({ type, data }) {
  return (type === "client-message" || type === "server-response") && data?.t ? `${type} ${data.t}` : String(type);
}

function brief({ data }) {
  return data === undefined || data === null ? "" : clipped(JSON.stringify(data.d ?? data), 160);
}

function clipped(text, length) {
  return text.length > length ? `${text.slice(0, length)}…` : text;
}
