// The choices before and during a call: the transport, and the provider of each service.

import { byId, make, titled } from "./elements.js";

const TRANSPORTS = { websocket: "WebSocket", webrtc: "WebRTC" };

/**
 * The choices. `switchProvider(service, provider)` switches during a call, and returns whether it worked.
 * `onChoose()` is called when a provider is chosen before a call.
 */
export class Choices {
  #element;
  #providers = new Map();
  #transport = byId("transport");
  #note = make("p", { class: "choice-note", role: "status" });
  #calling = false;
  #inCall = false;

  constructor(element, { switchProvider, onChoose = () => {} }) {
    this.#element = element;
    Object.assign(this, { switchProvider, onChoose });
    this.#transport.append(make("option", { value: "websocket" }, TRANSPORTS.websocket));
    this.#element.append(this.#note);
  }

  /** Show the transports of the server. */
  offer({ transports }) {
    const known = transports.filter((each) => each in TRANSPORTS);
    this.#transport.replaceChildren(...known.map((each) => make("option", { value: each }, TRANSPORTS[each])));
    byId("transport-choice").hidden = known.length < 2;
  }

  /** Show the providers of each service, `{llm: {openai: [missing key]}}`. A service with one provider has no choice. */
  providers(services) {
    for (const [service, providers] of Object.entries(services)) {
      if (Object.keys(providers).length < 2) continue;
      if (!this.#providers.has(service)) this.#add(service);
      const known = this.#providers.get(service);
      const { value } = known.select;
      known.missing = providers;
      known.select.replaceChildren(...Object.entries(providers).map(([name, missing]) => optionOf(name, missing)));
      if (value && value in providers) known.select.value = value;
      known.before = known.select.value;
    }
    this.#showMissing();
  }

  get transport() {
    return this.#transport.value;
  }

  /** The chosen providers by service, without those that are the default. */
  get services() {
    const chosen = [...this.#providers].filter(([, { select, missing }]) => select.value !== Object.keys(missing)[0]);
    return Object.fromEntries(chosen.map(([service, { select }]) => [service, select.value]));
  }

  /** What a program needs to start the same session: the `base` of the server and the body of the `start`. */
  forPrograms() {
    const { services } = this;
    const base = new URL(".", document.baseURI).href.replace(/\/$/, "");
    return { base, start: Object.keys(services).length ? { services } : {} };
  }

  #add(service) {
    const id = `provider-${service}`;
    const select = make("select", { id, disabled: this.#calling });
    select.addEventListener("change", () => this.#chosen(service));
    this.#providers.set(service, { select, before: "", missing: {} });
    this.#note.before(make("div", { class: "choice" }, make("label", { for: id }, titled(service)), select));
  }

  async #chosen(service) {
    const known = this.#providers.get(service);
    const { select, before } = known;
    this.#showMissing();
    if (!this.#inCall) {
      known.before = select.value;
      return this.onChoose();
    }
    if (select.value === before) return;
    select.disabled = true;
    const done = await this.switchProvider(service, select.value);
    if (!done) {
      select.value = known.before;
      select.disabled = false;
      this.#showMissing();
    }
    // A disabled control loses the focus. Give it back, unless the user has moved on.
    if (document.activeElement === document.body) select.focus();
  }

  #showMissing() {
    const lacking = [...this.#providers.values()]
      .map(({ select, missing }) => [select.value, missing[select.value] ?? []])
      .filter(([, keys]) => keys.length);
    const texts = lacking.map(([name, keys]) => `${name} needs ${keys.join(" and ")}, which the server does not have.`);
    this.#note.textContent = texts.join(" ");
  }

  /**
   * Without a call, everything can be chosen. During a call, the transport is fixed, and providers can be switched if
   * the bot grants it. `took` receives the grants.
   */
  lock(calling, connected) {
    this.#calling = calling;
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
    this.#showMissing();
  }
}

function optionOf(name, missing) {
  return make("option", { value: name }, missing.length ? `${name} (no key)` : name);
}
