// Stands for the parts of a browser that calls and panels use: what is opened is counted, and time passes step by step.

const waiting = []; // the steps that somebody waits for
const opened = new Set(); // what has to be closed again
let answers = {};

/** Have the browser do the next thing that somebody waits for, and let everybody take note of it. */
export async function step() {
  waiting.shift()?.();
  await new Promise(setImmediate);
}

/** Do everything that is waited for. */
export async function settle() {
  await new Promise(setImmediate);
  while (waiting.length) await step();
}

/** What is open: sockets, peers, audio contexts, microphones and timers. */
export const stillOpen = () => [...opened].map((each) => each.constructor.name);

/** Forget all that was, and answer requests to a path with this JSON. */
export function fresh(found) {
  waiting.length = 0;
  opened.clear();
  answers = found;
}

const later = (value) => new Promise((resolve) => waiting.push(() => resolve(value)));

class Closable {
  closed = false;

  constructor() {
    opened.add(this);
  }

  close() {
    this.closed = true;
    opened.delete(this);
  }
}

// ---- the network

class WebSocket extends Closable {
  static OPEN = 1;
  static last = null;
  readyState = 0;
  sent = [];

  constructor() {
    super();
    WebSocket.last = this;
    later().then(() => !this.closed && ((this.readyState = 1), this.onopen()));
  }

  send(bytes) {
    this.sent.push(bytes);
  }

  close() {
    super.close();
    this.readyState = 3;
    later().then(() => this.onclose?.({ code: 1006, reason: "" }));
  }
}

class RTCPeerConnection extends Closable {
  static last = null;
  #transceivers = [];
  sent = [];

  constructor() {
    super();
    RTCPeerConnection.last = this;
  }

  addTransceiver() {
    const sender = { track: null, replaceTrack: async (track) => void (sender.track = track) };
    this.#transceivers.push({ sender });
  }

  getTransceivers() {
    return this.#transceivers;
  }

  createDataChannel() {
    if (this.closed) throw new Error("The connection is closed.");
    return (this.channel = { readyState: "connecting", send: (text) => this.sent.push(text) });
  }

  // As the specification has it, what a closed connection is asked for never comes.
  #unlessClosed = (value) => new Promise((resolve) => later(value).then((found) => !this.closed && resolve(found)));

  createOffer = () => this.#unlessClosed({ sdp: "", type: "offer" });

  async setLocalDescription(description) {
    await this.#unlessClosed();
    this.localDescription = description;
  }

  async setRemoteDescription() {
    await this.#unlessClosed();
    this.#unlessClosed().then(() => ((this.channel.readyState = "open"), this.channel.onopen()));
  }
}

async function fetch(url) {
  const [, found] = Object.entries(answers).find(([end]) => url.pathname.endsWith(end)) ?? [];
  await later();
  return { ok: found !== undefined, status: found === undefined ? 404 : 200, json: async () => found };
}

// ---- sound

const node = () => ({ connect() {}, disconnect() {}, port: { postMessage() {} } });

class AudioContext extends Closable {
  sampleRate = 24000;
  audioWorklet = { addModule: () => later() };
  resume = async () => {};
  createMediaStreamSource = node;
}

function AudioWorkletNode() {
  return node();
}

class Microphone extends Closable {
  static last = null;
  stop = () => this.close();

  constructor() {
    super();
    Microphone.last = this;
  }

  getTracks = () => [this];
  getAudioTracks = () => [this];
}

const mediaDevices = { getUserMedia: () => later().then(() => new Microphone()) };

// ---- time

class Timer extends Closable {
  constructor(act, repeats) {
    super();
    this.act = act;
    this.repeats = repeats;
  }

  go() {
    if (this.closed) return;
    if (!this.repeats) this.close();
    this.act();
  }
}

let now = 0;

/** Let so many milliseconds pass, which is long enough for every timer. */
export async function pass(milliseconds) {
  now += milliseconds;
  for (const each of [...opened]) if (each instanceof Timer) each.go();
  await new Promise(setImmediate);
}

const clear = (timer) => timer?.close();

// ---- elements

class Element {
  attributes = {};
  children = [];
  dataset = {};
  disabled = false;
  hidden = false;
  className = "";
  clientHeight = 0;
  scrollHeight = 0;
  #scrollTop = 0;
  #listeners = {};
  #parent = null;

  constructor(name) {
    this.name = name;
  }

  setAttribute(name, value) {
    this.attributes[name] = value;
    if (name === "value") this.value = value;
    if (name === "class") this.className = value;
    if (name === "disabled" || name === "hidden") this[name] = true;
  }

  removeAttribute(name) {
    delete this.attributes[name];
  }

  classList = {
    add: (name) => this.classList.toggle(name, true),
    remove: (name) => this.classList.toggle(name, false),
    toggle: (name, on) => {
      const left = this.className.split(" ").filter((each) => each && each !== name);
      this.className = [...left, ...(on ? [name] : [])].join(" ");
    },
  };

  before(...elements) {
    const { children } = this.#parent;
    for (const each of elements) if (each instanceof Element) each.#parent = this.#parent;
    children.splice(children.indexOf(this), 0, ...elements);
  }

  // As in a browser, nobody gets beyond the end.
  get scrollTop() {
    return Math.max(0, Math.min(this.#scrollTop, this.scrollHeight - this.clientHeight));
  }

  set scrollTop(top) {
    this.#scrollTop = Math.min(top, this.scrollHeight - this.clientHeight);
  }

  get childElementCount() {
    return this.children.length;
  }

  get firstElementChild() {
    return this.children[0];
  }

  scrollIntoView() {
    Element.shown = this;
  }

  append(...children) {
    for (const each of children) if (each instanceof Element) each.#parent = this;
    this.children.push(...children);
    // A list shows its first option, until another is chosen.
    if (this.name === "select") this.value ??= this.children[0]?.value;
  }

  replaceChildren(...children) {
    this.children = [];
    this.append(...children);
  }

  remove() {
    const { children } = this.#parent;
    children.splice(children.indexOf(this), 1);
    this.#parent = null;
  }

  get isConnected() {
    return this.#parent !== null;
  }

  get textContent() {
    return this.children.map((each) => each.textContent ?? each).join("");
  }

  set textContent(text) {
    this.replaceChildren(text);
  }

  addEventListener(type, listener) {
    (this.#listeners[type] ??= []).push(listener);
  }

  /** As if a user had done something with it. The event bubbles. */
  does(type) {
    for (const each of this.#listeners[type] ?? []) each({ preventDefault() {} });
    this.#parent?.does(type);
  }

  dispatchEvent({ type }) {
    this.does(type);
  }

  focus() {
    document.activeElement = this;
  }

  /** Those within it that have this name. */
  all(name) {
    const within = this.children.filter((each) => each instanceof Element);
    return within.flatMap((each) => [...(each.name === name ? [each] : []), ...each.all(name)]);
  }
}

/** Is called when an element has another size. */
class ResizeObserver {
  constructor(onResize) {
    this.onResize = onResize;
  }

  observe(element) {
    element.resize = this.onResize;
  }
}

/** The element that was scrolled to last. */
export const scrolledTo = () => Element.shown;

const byId = {};

/** A new element. */
export const element = (name) => new Element(name);

const document = {
  baseURI: "http://page.test/",
  body: element("body"),
  createElement: element,
  getElementById: (id) => (byId[id] ??= element("select")),
};
document.activeElement = document.body;

Object.defineProperty(globalThis, "navigator", { value: { mediaDevices }, configurable: true });
Object.assign(globalThis, { ResizeObserver, document, window: { isSecureContext: true }, fetch });
Object.assign(globalThis, { AudioContext, AudioWorkletNode, WebSocket, RTCPeerConnection });
Object.assign(globalThis, { setTimeout: (act) => new Timer(act, false), setInterval: (act) => new Timer(act, true) });
Object.defineProperty(globalThis, "performance", { value: { now: () => now }, configurable: true });
Object.assign(globalThis, { clearTimeout: clear, clearInterval: clear });
export { Microphone };
