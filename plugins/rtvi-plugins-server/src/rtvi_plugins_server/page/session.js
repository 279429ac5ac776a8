// RTVI over any transport: requests with their answers, and events.

import { plainly, problemsOf } from "./problems.js";

export const VERSION = "2.1.0";
const INTRODUCTION = { version: VERSION, about: { library: "rtvi_plugins page" } };
const ANSWER_WITHIN = 15000; // ms
const READY_WITHIN = 15000; // ms
const MOST_UNANSWERED = 32; // the bot knows of at least as many that they have arrived

/** A refused request. `message` is a sentence, `details` lists the problems. */
export class Refused extends Error {
  constructor(data) {
    super(plainly(data?.error ?? data?.message ?? "The bot refused this and gave no reason."));
    this.code = data?.code ?? "";
    this.details = problemsOf(data ?? {});
  }
}

/**
 * One session. `post` sends a text. Pass received texts to `receive`. `on` holds the callbacks `event(type, data)` for
 * all messages that are not answers, and `seen(direction, message)` for all messages in both directions.
 *
 * After a lost connection, `resume` has what the next start needs, and `comeBack` introduces the client again.
 */
export class Session {
  #post;
  #on;
  #waiting = new Map();
  #count = 0;
  #prefix = `page-${Math.random().toString(36).slice(2, 10)}`; // nobody else's answers have it
  #received = 0; // messages since the last bot-ready, this one included
  #unanswered = new Map(); // by id: messages that nobody answers, and that may not have arrived
  #isLost = false;
  resume = null;

  constructor(post, on) {
    this.#post = post;
    this.#on = on;
  }

  /** Send client-ready, and wait for the bot. */
  ready() {
    return this.#ask("client-ready", INTRODUCTION, READY_WITHIN);
  }

  /** Send nothing but requests until `comeBack`. */
  lost() {
    this.#isLost = true;
  }

  /** Go on over a new connection. The bot sends what was missed, and asks for what never arrived. */
  async comeBack() {
    // An earlier attempt may have sent one that was never answered.
    this.#waiting.delete(this.#firstWaiting("client-ready"));
    const waiting = [...this.#waiting.keys(), ...this.#unanswered.keys()].sort((a, b) => numberOf(a) - numberOf(b));
    await this.#ask("client-ready", { ...INTRODUCTION, waiting, received: this.#received }, READY_WITHIN);
    this.#isLost = false;
    for (const [id, message] of this.#unanswered) if (!waiting.includes(id)) this.#send(message);
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

  /** Send a text of the user to the bot. */
  sendText(content) {
    this.send("send-text", { content, options: {} });
  }

  send(type, data) {
    const message = this.#message(type, data);
    this.#unanswered.set(message.id, message);
    if (this.#unanswered.size > MOST_UNANSWERED) this.#unanswered.delete(this.#unanswered.keys().next().value);
    if (!this.#isLost) this.#send(message);
  }

  #message(type, data) {
    return { label: "rtvi-ai", type, id: `${this.#prefix}-${++this.#count}`, data };
  }

  #send(message) {
    this.#on.seen("sent", message);
    this.#post(JSON.stringify(message));
    return message.id;
  }

  /** Handle one text from the bot. */
  receive(text) {
    const message = parse(text);
    if (message?.label !== "rtvi-ai") return;
    this.#on.seen("received", message);
    this.#received += 1;
    if (message.type === "bot-ready") {
      this.#received = 1;
      const isBack = this.resume !== null;
      this.resume = message.data?.about?.resume ?? null;
      this.#settle(message);
      return this.#on.event(isBack ? "resumed" : "bot-ready", message.data ?? {});
    }
    if (!this.#settle(message)) this.#on.event(message.type, message.data ?? {});
  }

  /** Reject all waiting requests. */
  end(sentence) {
    for (const { reject } of this.#waiting.values()) reject(new Error(sentence));
    this.#waiting.clear();
  }

  #ask(type, data, within) {
    return new Promise((resolve, reject) => {
      const message = this.#message(type, data);
      const { id } = message;
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error(`The bot did not answer within ${within / 1000} seconds.`));
      }, within);
      const settled = (settle) => (value) => (clearTimeout(timer), settle(value));
      this.#waiting.set(id, { message, resolve: settled(resolve), reject: settled(reject) });
      this.#send(message);
    });
  }

  #settle(message) {
    // A bot may answer client-ready without its id.
    const id = message.type === "bot-ready" ? this.#firstWaiting("client-ready") : message.id;
    const waiting = this.#waiting.get(id);
    const sent = waiting?.message ?? this.#unanswered.get(id);
    if (sent && message.type === "error-response" && message.data?.code === "not-received") {
      this.#send(sent);
      return true;
    }
    this.#unanswered.delete(id); // it was refused
    if (!waiting) return this.#isOld(message);
    this.#waiting.delete(id);
    // What was sent before an answered request has arrived. But the introduction comes before what is sent again.
    if (message.type !== "bot-ready") this.#arrived(numberOf(id));
    if (message.type === "error-response") waiting.reject(new Refused(message.data));
    else waiting.resolve(message.data);
    return true;
  }

  #arrived(before) {
    for (const id of this.#unanswered.keys()) if (numberOf(id) < before) this.#unanswered.delete(id);
  }

  // An answer that came twice, after a resume, or too late.
  #isOld({ type, id }) {
    return type !== "error-response" && typeof id === "string" && id.startsWith(this.#prefix);
  }

  #firstWaiting(type) {
    return [...this.#waiting].find(([, waiting]) => waiting.message.type === type)?.[0];
  }
}

function numberOf(id) {
  return Number(id.slice(id.lastIndexOf("-") + 1));
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
