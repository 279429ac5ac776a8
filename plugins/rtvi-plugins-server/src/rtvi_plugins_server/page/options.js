// The options panel: a form built from describe-config. It sends only changed options.

import { forOption } from "./code.js";
import { make, titled } from "./elements.js";
import { Field } from "./forms.js";
import { optionAt, placeOf, sentence } from "./problems.js";
import { same, toConfig } from "./schema.js";
import { Usage } from "./usage.js";

const BESIDE = "Nothing was changed. See the errors beside the fields.";
const BEFORE = "Your changes apply when you connect.";
const WHEN = { now: "It applies now.", "next-turn": "It applies from the next turn." };

/**
 * Shows and changes the config: before a call the one that it will start with, during a call the one of the session.
 * Calls `onConfig(values)` with each config of a session, by service and option. `start()` returns the `base` of the
 * server and the body of the `start`, for programs.
 */
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
  #previewed = null; // what the form shows before a call
  #providers = ""; // those of the config that is shown

  constructor(element, { onConfig, start }) {
    this.#element = element;
    Object.assign(this, { onConfig, start });
    this.#empty("Loading the options…");
  }

  /** Show the config that a session will start with. What the user has changed stays. */
  preview(described, config) {
    this.#asked++;
    const before = this.#session ? [] : this.#changed().map(({ service, name, value }) => ({ service, name, value }));
    this.#session = null;
    // If nothing has changed, keep the form with its errors.
    if (same([described, config], this.#previewed)) return;
    this.#described = described.config;
    this.#build(valuesOf(config));
    this.#previewed = [described, config];
    for (const { service, name, value } of before) {
      if (value !== undefined) this.#fieldOf({ service, name })?.enter(value);
    }
    this.#edited();
  }

  /** Show why there are no options. */
  fail(text) {
    this.#asked++;
    this.#session = null;
    this.#empty(text);
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

  /** Return the description of a service's option, or undefined. */
  described(service, name) {
    return this.#described.find((each) => each.name === service)?.options.find((each) => each.name === name);
  }

  /** Return the changes as `{service, name, value}`, or null if one is wrong. Then its error is shown. */
  changes() {
    const read = this.#changed().map((field) => ({ field, found: field.read() }));
    const wrong = read.find(({ found }) => found.problem);
    if (wrong) {
      this.#refuse(wrong.found.at);
      return null;
    }
    return read
      .filter(({ found }) => "value" in found)
      .map(({ field, found }) => ({ service: field.service, name: field.name, value: found.value }));
  }

  /** Show the errors of refused changes beside their fields. Return whether there is a field for one of them. */
  refused(error, changes) {
    const config = toConfig(changes);
    let first = null;
    for (const problem of error.details ?? []) {
      const at = optionAt(problem, config);
      const field = at && this.#fieldOf(at);
      const part = field?.fail(sentence(problem, field.name), placeOf(problem));
      first ??= part ?? null;
    }
    if (first) this.#refuse(first);
    else this.#say(error.message, true);
    return first !== null;
  }

  /** Change options, given as `{service, name, value}`, and show the result. Throws the bot's refusal. */
  async update(changes, interrupt = false) {
    this.#say(this.#shown());
    const updated = await this.#session.request("update-config", { config: toConfig(changes), interrupt });
    this.#took(updated);
    const switched = changes.some((each) => each.name === "provider");
    if (switched) await this.open(this.#session);
    this.#say(`${this.#shown()} ${WHEN[updated.applies] ?? ""}`.trim());
  }

  /** Show a config that the bot sent without a request. */
  async took(config) {
    if (this.#providers !== providersOf(valuesOf(config)) && this.#session) await this.open(this.#session);
    else this.#took(config);
    this.#say(`${this.#shown()} The bot changed it.`);
  }

  #took(config) {
    const values = valuesOf(config);
    this.#revision = config.revision;
    this.#providers = providersOf(values);
    for (const field of this.#fields) {
      const known = values[field.service];
      if (known && field.name in known) field.set(known[field.name]);
    }
    this.#edited();
    this.#say(this.#shown());
    this.onConfig(values);
  }

  #shown() {
    return this.#session ? `Revision ${this.#revision}.` : BEFORE;
  }

  #empty(text) {
    this.#fields = [];
    this.#described = [];
    this.#previewed = null;
    this.#element.replaceChildren(make("p", { class: "empty" }, text));
  }

  #build(values) {
    this.#previewed = null;
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
    this.#say(this.#shown());
  }

  #group(service, values) {
    const options = service.options.filter((each) => each.name !== "provider");
    if (!options.length) return null;
    const fields = options.map((each) => this.#field(service.name, each, values));
    this.#fields.push(...fields);
    const provider = values.provider && make("span", { class: "legend-note" }, values.provider);
    return make(
      "fieldset",
      {},
      make("legend", {}, titled(service.name), make("code", { class: "technical" }, service.name), provider),
      ...folded(fields),
    );
  }

  #field(service, described, values) {
    const { name, default: fallback } = described;
    const value = name in values ? values[name] : fallback;
    const writable = described.writable !== false;
    const programs = () => forOption({ service, name, value: field.value ?? value ?? null, ...this.start() });
    const usage = writable ? new Usage(titled(name), programs, { brief: true }) : null;
    const onEdit = () => (usage?.update(), this.#changedByUser());
    const field = new Field(described, { value, writable, onEdit, usage });
    return Object.assign(field, { service });
  }

  #fieldOf({ service, name }) {
    return this.#fields.find((each) => each.service === service && each.name === name);
  }

  #footer() {
    if (!this.#fields.some((each) => each.writable)) {
      this.#apply = this.#undo = null;
      return make("div", { class: "panel-footer" }, this.#status);
    }
    this.#interrupt = make("input", { type: "checkbox", role: "switch", id: "interrupt" });
    this.#apply = make("button", { type: "submit", class: "primary", id: "apply" }, "Apply");
    this.#undo = make("button", { type: "reset", id: "undo" }, "Undo");
    const interrupt = make("label", { for: "interrupt" }, "Interrupt the bot");
    return make(
      "div",
      { class: "panel-footer" },
      this.#session && make("div", { class: "switch-row" }, this.#interrupt, interrupt),
      make("div", { class: "buttons" }, this.#session && this.#apply, this.#undo),
      this.#status,
    );
  }

  #changed() {
    return this.#fields.filter((each) => each.writable && each.changed);
  }

  // The text below may be about an error that the user has just corrected.
  #changedByUser() {
    this.#edited();
    this.#say(this.#shown());
  }

  #edited() {
    const changed = this.#changed();
    for (const each of this.#fields) each.element.classList.toggle("changed", changed.includes(each));
    if (!this.#apply) return;
    this.#apply.disabled = this.#undo.disabled = !changed.length;
    this.#apply.textContent = changed.length > 1 ? `Apply ${changed.length} changes` : "Apply";
  }

  #reset() {
    for (const each of this.#fields) each.restore();
    this.#changedByUser();
  }

  async #submit() {
    const changes = this.changes();
    if (!changes?.length || !this.#session) return;
    try {
      await this.update(changes, this.#interrupt.checked);
    } catch (error) {
      this.refused(error, changes);
    }
  }

  #refuse(part) {
    part.focus();
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

function providersOf(values) {
  return Object.entries(values)
    .map(([service, { provider }]) => `${service}:${provider}`)
    .join();
}

/** Return the values of a config by service and option. */
export function valuesOf({ config }) {
  const options = (each) => Object.fromEntries(each.options.map(({ name, value }) => [name, value]));
  return Object.fromEntries(config.map((each) => [each.service, options(each)]));
}
