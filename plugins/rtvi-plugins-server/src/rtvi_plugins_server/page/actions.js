// The actions panel: a form for each action, made from describe-actions, with the answer below it.

import { make, titled } from "./elements.js";
import { same } from "./fields.js";
import { Field } from "./forms.js";
import { argumentAt, sentence } from "./problems.js";

/** Shows the actions that a client may call. */
export class ActionsPanel {
  #element;
  #session = null;
  #actions = null;
  #jobs = new Map();

  constructor(element) {
    this.#element = element;
    this.close();
  }

  async open(session) {
    this.#session = session;
    const told = await session.request("describe-actions");
    if (this.#session !== session) return;
    // If the description has not changed, keep the forms and their answers.
    if (same(told.actions, this.#actions)) return;
    this.#actions = told.actions;
    this.#build();
  }

  close() {
    this.#session = null;
    this.#actions = null;
    this.#jobs.clear();
    this.#element.replaceChildren(make("p", { class: "empty" }, "Connect to see the actions of this bot."));
  }

  /** Return whether the client may call an action. */
  has(service, action) {
    return Boolean(this.#actions?.some((each) => each.service === service && each.action === action));
  }

  /** Show a message of a background job. */
  job({ job, status, data, result, error }) {
    const show = this.#jobs.get(job);
    const shown = { progress: data, done: result, failed: error }[status];
    show?.(`${job}: ${status}`, shown, status === "failed");
  }

  #build() {
    const forms = this.#actions.map((action) => this.#form(action));
    const nothing = make("p", { class: "empty" }, "This bot has no actions for clients.");
    this.#element.replaceChildren(...(forms.length ? forms : [nothing]));
  }

  #form(action) {
    const fields = action.arguments.map((each) => new Field(each, { value: each.default }));
    const answer = make("output", { class: "answer", "aria-live": "polite" });
    const call = make("button", { type: "submit", class: "primary" }, "Call");
    const form = make(
      "form",
      { novalidate: true, class: "panel-form" },
      action.deprecated && make("p", { class: "hint" }, `Deprecated: ${action.deprecated}`),
      action.long && make("p", { class: "hint" }, "This takes a while. Its progress appears below."),
      ...fields.map((each) => each.element),
      make("div", { class: "buttons" }, call),
      answer,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#call(action, fields, { call, answer });
    });
    return make("details", { class: "action", id: `action-${action.service}-${action.action}` }, title(action), form);
  }

  async #call(action, fields, { call, answer }) {
    const args = collect(fields);
    if (!args) return;
    const show = (heading, value, failed) => answer.replaceChildren(...shown(heading, value, failed));
    call.disabled = true;
    show("Waiting for the answer…");
    try {
      const result = await this.#session.action(action.service, action.action, args);
      if (action.long && result?.job) this.#jobs.set(result.job, show);
      show("Answer", result === undefined ? null : result);
    } catch (error) {
      show(beside(error, fields) || error.message, undefined, true);
    } finally {
      call.disabled = false;
    }
    answer.scrollIntoView({ block: "nearest" });
  }
}

function title({ service, action, description }) {
  const name = make("span", { class: "action-name" }, make("span", { class: "service" }, `${service}:`), action);
  return make("summary", {}, name, make("span", { class: "hint" }, description || titled(action)));
}

/** Return the arguments as an object, without unchanged defaults; null if a field is invalid. */
function collect(fields) {
  const read = fields.map((field) => ({ field, found: field.read() }));
  const wrong = read.find(({ found }) => found.problem);
  if (wrong) {
    wrong.field.focus();
    return null;
  }
  const given = read.filter(({ field, found }) => {
    const { required, default: fallback } = field.described;
    return "value" in found && (required || !same(found.value, fallback));
  });
  return Object.fromEntries(given.map(({ field, found }) => [field.name, found.value]));
}

/** Show problems of arguments beside their fields. Return a sentence about it, or "" for other errors. */
function beside(error, fields) {
  const names = fields.map((each) => each.name);
  const found = (error.details ?? []).filter((problem) => {
    const field = fields.find((each) => each.name === argumentAt(problem, names));
    field?.fail(sentence(problem, field.name));
    return field;
  });
  return found.length ? "The action was not called. See the errors beside the fields." : "";
}

function shown(heading, value, failed = false) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  const parts = [make("p", { class: failed ? "failed" : "answer-heading" }, heading)];
  if (value !== undefined) parts.push(make("pre", { tabindex: 0 }, text));
  return parts;
}
