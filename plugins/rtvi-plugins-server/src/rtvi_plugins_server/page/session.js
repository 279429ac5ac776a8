// RTVI over any transport: requests with their answers, and events.

import { plainly, problemsOf } from "./problems.js";

export const VERSION = "2.1.0";
const ANSWER_WITHIN = 15000; // ms
const READY_WITHIN = 15000; // ms

/** A request that was refused: `message` is a sentence, `details` says what was wrong where. */
export class Refused extends Error {
  constructor(told) {
    super(plainly(told?.error ?? told?.message ?? "The bot refused this without saying why."));
    this.code = told?.code ?? "";
    this.details = problemsOf(told ?? {});
  }
}

/**
 * One session. `post` sends a text; give what comes to `receive`. `on` holds the callbacks `event(type, data)` for
 * everything that is no answer, and `seen(direction, message)` for every message either way.
 */
export class Session {
  #post;
  #on;
  #waiting = new Map();
  #count = 0;

  constructor(post, on) {
    this.#post = post;
    this.#on = on;
  }

  /** Tell that the client is ready, and wait for the bot. */
  ready() {
    const data = { version: VERSION, about: { library: "rtvi_plugins page" } };
    return this.#ask("client-ready", data, READY_WITHIN);
  }

  /** Ask for `t` with the data `d`, and return the answer's data. Throws `Refused`. */
  async request(t, d = {}) {
    const answer = await this.#ask("client-message", { t, d }, ANSWER_WITHIN);
    return answer?.d;
  }

  /** Call an action with an object of arguments, and return its result. */
  action(service, action, args) {
    return this.request("action", { service, action, arguments: args });
  }

  /** Write something to the bot. */
  sendText(content) {
    this.send("send-text", { content, options: {} });
  }

  send(type, data) {
    const message = { label: "rtvi-ai", type, id: `page-${++this.#count}`, data };
    this.#on.seen("sent", message);
    this.#post(JSON.stringify(message));
    return message.id;
  }

  /** Take one text that came from the bot. */
  receive(text) {
    const message = parse(text);
    if (message?.label !== "rtvi-ai") return;
    this.#on.seen("received", message);
    if (!this.#settle(message)) this.#on.event(message.type, message.data ?? {});
  }

  /** Give up whatever still waits. */
  end(sentence) {
    for (const { reject } of this.#waiting.values()) reject(new Error(sentence));
    this.#waiting.clear();
  }

  #ask(type, data, within) {
    return new Promise((resolve, reject) => {
      const id = this.send(type, data);
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error(`The bot gave no answer within ${within / 1000} seconds.`));
      }, within);
      const settled = (settle) => (value) => (clearTimeout(timer), settle(value));
      this.#waiting.set(id, { type, resolve: settled(resolve), reject: settled(reject) });
    });
  }

  #settle(message) {
    // The version that a bot answers with need not repeat the id.
    const id = message.type === "bot-ready" ? this.#firstWaiting("client-ready") : message.id;
    const waiting = this.#waiting.get(id);
    if (!waiting) return false;
    this.#waiting.delete(id);
    if (message.type === "error-response") waiting.reject(new Refused(message.data));
    else waiting.resolve(message.data);
    return message.type !== "bot-ready";
  }

  #firstWaiting(type) {
    return [...this.#waiting].find(([, waiting]) => waiting.type === type)?.[0];
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
