// The choices before and during a call: the transport, and the provider of each service.

import { byId, make, titled } from "./elements.js";

const TRANSPORTS = { websocket: "WebSocket", webrtc: "WebRTC" };

/** The choices. `switchProvider(service, provider)` switches during a call, and returns whether it worked. */
export class Choices {
  #element;
  #providers = new Map();
  #transport = byId("transport");

  constructor(element, { switchProvider }) {
    this.#element = element;
    this.switchProvider = switchProvider;
    this.#transport.append(make("option", { value: "websocket" }, TRANSPORTS.websocket));
  }

  /** Show the choices from the server's description of the bot. */
  offer({ transports, services }) {
    const known = transports.filter((each) => each in TRANSPORTS);
    this.#transport.replaceChildren(...known.map((each) => make("option", { value: each }, TRANSPORTS[each])));
    byId("transport-choice").hidden = known.length < 2;
    for (const service of services) if (service.providers.length) this.#add(service);
  }

  get transport() {
    return this.#transport.value;
  }

  /** Return the body of a start request. */
  startBody() {
    const chosen = [...this.#providers].map(([service, { select }]) => [service, select.value]);
    return { services: Object.fromEntries(chosen), config: [] };
  }

  #add({ name, providers }) {
    const id = `provider-${name}`;
    if (providers.length < 2) {
      const only = make("span", { id, class: "only" }, providers[0]);
      this.#element.append(make("div", { class: "choice" }, make("span", { class: "of" }, titled(name)), only));
      return;
    }
    const select = make("select", { id }, ...providers.map((each) => make("option", { value: each }, each)));
    select.addEventListener("change", () => this.#chosen(name));
    const known = { select, before: select.value };
    this.#providers.set(name, known);
    this.#element.append(make("div", { class: "choice" }, make("label", { for: id }, titled(name)), select));
  }

  async #chosen(service) {
    const known = this.#providers.get(service);
    const { select, before } = known;
    if (!this.#inCall) known.before = select.value;
    if (!this.#inCall || select.value === before) return;
    select.disabled = true;
    const done = await this.switchProvider(service, select.value);
    if (!done) {
      select.value = known.before;
      select.disabled = false;
    }
    // A disabled control loses the focus. Give it back, unless the user has moved on.
    if (document.activeElement === document.body) select.focus();
  }

  #inCall = false;

  /**
   * Without a call, everything can be chosen. During a call, the transport is fixed, and providers can be switched if
   * the bot grants it. `took` receives the grants.
   */
  lock(calling, connected) {
    this.#inCall = connected;
    this.#transport.disabled = calling;
    for (const { select } of this.#providers.values()) select.disabled = calling;
  }

  /** Take the config of a call: the provider of each service, and whether it may be switched. */
  took(values, options) {
    for (const [service, known] of this.#providers) {
      const { provider } = values[service] ?? {};
      const described = options.described(service, "provider");
      const allowed = described?.schema?.enum ?? [];
      known.select.disabled = !(described?.writable && allowed.length > 1);
      if (provider) known.select.value = known.before = provider;
    }
  }
}
