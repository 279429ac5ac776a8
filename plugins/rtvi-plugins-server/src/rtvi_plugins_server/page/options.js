// The options panel: a form built from describe-config. It sends only changed options.

import { make, titled } from "./elements.js";
import { toConfig } from "./fields.js";
import { Field } from "./forms.js";
import { optionAt, sentence } from "./problems.js";

const BESIDE = "Nothing was changed. See the errors beside the fields.";
const WHEN = { now: "It applies now.", "next-turn": "It applies from the next turn." };

/** Shows and changes the config of a session. Calls `onConfig(values)` with each config, by service and option. */
export class OptionsPanel {
  #element;
  #fields = [];
  #session = null;
  #status;
  #apply;
  #undo;
  #interrupt;
  #revision = null;
  #described = [];
  #asked = 0;

  constructor(element, { onConfig }) {
    this.#element = element;
    this.onConfig = onConfig;
    this.#empty();
  }

  /** Describe the config of a session. */
  async open(session) {
    this.#session = session;
    const asked = ++this.#asked;
    const described = await session.request("describe-config");
    const config = await session.request("get-config");
    if (asked !== this.#asked) return;
    this.#described = described.config;
    this.#build(valuesOf(config));
    this.#took(config);
  }

  close() {
    this.#asked++;
    this.#session = null;
    this.#described = [];
    this.#empty();
  }

  /** Return the description of a service's option, or undefined. */
  described(service, name) {
    return this.#described.find((each) => each.name === service)?.options.find((each) => each.name === name);
  }

  /** Change options, given as `{service, name, value}`, and show the result. Throws the bot's refusal. */
  async update(changes, interrupt = false) {
    this.#say(this.#shown());
    const told = await this.#session.request("update-config", { config: toConfig(changes), interrupt });
    this.#took(told);
    const switched = changes.some((each) => each.name === "provider");
    if (switched) await this.open(this.#session);
    this.#say(`${this.#shown()} ${WHEN[told.applies] ?? ""}`.trim());
  }

  /** Show a config that the bot sent without a request. */
  async took(config) {
    const providers = Object.entries(valuesOf(config))
      .map(([service, { provider }]) => `${service}:${provider}`)
      .join();
    if (this.#providers !== providers && this.#session) await this.open(this.#session);
    else this.#took(config);
    this.#say(`${this.#shown()} The bot changed it.`);
  }

  #providers = "";

  #took(config) {
    const values = valuesOf(config);
    this.#revision = config.revision;
    this.#providers = Object.entries(values)
      .map(([service, { provider }]) => `${service}:${provider}`)
      .join();
    for (const field of this.#fields) {
      const known = values[field.service];
      if (known && field.name in known) field.set(known[field.name]);
    }
    this.#edited();
    this.#say(this.#shown());
    this.onConfig(values);
  }

  #shown() {
    return `Revision ${this.#revision}.`;
  }

  #empty() {
    this.#fields = [];
    this.#element.replaceChildren(make("p", { class: "empty" }, "Connect to see the options of this bot."));
  }

  #build(values) {
    this.#fields = [];
    const groups = this.#described.map((service) => this.#group(service, values[service.name] ?? {}));
    const shown = groups.filter(Boolean);
    this.#status = make("p", { class: "status", role: "status", id: "options-status" });
    if (!shown.length) {
      const nothing = make("p", { class: "empty" }, "This bot has no options for clients.");
      this.#element.replaceChildren(nothing);
      return;
    }
    const form = make("form", { novalidate: true, class: "panel-form" }, ...shown, this.#footer());
    form.addEventListener("submit", (event) => (event.preventDefault(), this.#submit()));
    form.addEventListener("reset", (event) => (event.preventDefault(), this.#reset()));
    this.#element.replaceChildren(form);
    this.#edited();
  }

  #group(service, values) {
    const options = service.options.filter((each) => each.name !== "provider");
    if (!options.length) return null;
    const fields = options.map((each) => {
      const value = each.name in values ? values[each.name] : each.default;
      const field = new Field(each, { value, writable: each.writable !== false, onEdit: () => this.#changed() });
      return Object.assign(field, { service: service.name });
    });
    this.#fields.push(...fields);
    const provider = values.provider ? make("span", { class: "legend-note" }, values.provider) : null;
    return make(
      "fieldset",
      {},
      make("legend", {}, titled(service.name), provider),
      ...folded(fields),
    );
  }

  #footer() {
    if (!this.#fields.some((each) => each.writable)) {
      this.#apply = this.#undo = null;
      return make("div", { class: "panel-footer" }, this.#status);
    }
    this.#interrupt = make("input", { type: "checkbox", id: "interrupt" });
    this.#apply = make("button", { type: "submit", class: "primary", id: "apply" }, "Apply");
    this.#undo = make("button", { type: "reset", id: "undo" }, "Undo");
    return make(
      "div",
      { class: "panel-footer" },
      make("div", { class: "switch-row" }, this.#interrupt, make("label", { for: "interrupt" }, "Interrupt the bot")),
      make("div", { class: "buttons" }, this.#apply, this.#undo),
      this.#status,
    );
  }

  #changed() {
    this.#edited();
    this.#say(this.#shown()); // what was said of a refusal is about what stood here before
  }

  #edited() {
    const changed = this.#fields.filter((each) => each.writable && each.changed);
    for (const each of this.#fields) each.element.classList.toggle("changed", changed.includes(each));
    if (!this.#apply) return;
    this.#apply.disabled = this.#undo.disabled = !changed.length;
    this.#apply.textContent = changed.length > 1 ? `Apply ${changed.length} changes` : "Apply";
  }

  #reset() {
    for (const each of this.#fields) each.restore();
    this.#changed();
  }

  async #submit() {
    const edited = this.#fields.filter((each) => each.writable && each.changed);
    const read = edited.map((field) => ({ field, found: field.read() }));
    const wrong = read.find(({ found }) => found.problem);
    if (wrong) return this.#refuse(wrong.field);
    const changes = read
      .filter(({ found }) => "value" in found)
      .map(({ field, found }) => ({ service: field.service, name: field.name, value: found.value }));
    if (!changes.length) return;
    try {
      await this.update(changes, this.#interrupt.checked);
    } catch (error) {
      this.#refused(error, toConfig(changes));
    }
  }

  #refused(error, config) {
    let first = null;
    for (const problem of error.details ?? []) {
      const at = optionAt(problem, config);
      const field = at && this.#fields.find((each) => each.service === at.service && each.name === at.name);
      if (!field) continue;
      field.fail(sentence(problem, field.name));
      first ??= field;
    }
    if (first) this.#refuse(first);
    else this.#say(error.message, true);
  }

  #refuse(field) {
    field.focus();
    this.#say(BESIDE, true);
  }

  #say(text, failed = false) {
    if (!this.#status) return;
    this.#status.textContent = text;
    this.#status.classList.toggle("failed", failed);
  }
}

// Long fields are folded, below the short ones, so that the short ones are easy to reach.
function folded(fields) {
  const short = fields.filter((each) => !each.long);
  const long = fields.filter((each) => each.long);
  const elements = (some) => some.map((each) => each.element);
  if (!short.length || !long.length) return elements(fields);
  const names = long.map((each) => titled(each.name)).join(", ");
  const fold = make("details", { class: "more" }, make("summary", {}, names), ...elements(long));
  for (const each of long) each.onReveal = () => (fold.open = true);
  return [...elements(short), fold];
}

/** Return the values of a config by service and option. */
export function valuesOf({ config }) {
  const options = (each) => Object.fromEntries(each.options.map(({ name, value }) => [name, value]));
  return Object.fromEntries(config.map((each) => [each.service, options(each)]));
}
