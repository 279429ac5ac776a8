// The actions panel: a form for each action, made from describe-actions, with the answer below it.

import { exampleOf, forAction } from "./code.js";
import { make, prose, titled } from "./elements.js";
import { Field } from "./forms.js";
import { argumentAt, placeOf, sentence } from "./problems.js";
import { nodeOf, same } from "./schema.js";
import { Usage } from "./usage.js";

/**
 * Shows the actions that a client may call. `connect()` returns the session, after connecting if necessary, or null.
 * `start()` returns the `base` of the server and the body of the `start`, for programs.
 */
export class ActionsPanel {
  #element;
  #actions = null;
  #jobs = new Map();

  constructor(element, { connect, start }) {
    Object.assign(this, { connect, start });
    this.#element = element;
    this.fail("Loading the actions…");
  }

  /** Show the actions of a session. */
  async open(session) {
    this.show(await session.request("describe-actions"));
  }

  /** Show described actions. If they have not changed, the forms and their answers stay. */
  show({ actions }) {
    if (same(actions, this.#actions)) return;
    this.#actions = actions;
    const forms = actions.map((action) => this.#form(action));
    const nothing = make("p", { class: "empty" }, "This bot has no actions for clients.");
    this.#element.replaceChildren(...(forms.length ? forms : [nothing]));
  }

  /** Show why there are no actions. */
  fail(text) {
    this.#actions = null;
    this.#element.replaceChildren(make("p", { class: "empty" }, text));
  }

  /** Forget the background jobs of a session that has ended. */
  close() {
    this.#jobs.clear();
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

  #form(action) {
    const fields = action.arguments.map((each) => new Field(each, { value: each.default }));
    const answer = make("output", { class: "answer", "aria-live": "polite" });
    const call = make("button", { type: "submit", class: "primary" }, "Call");
    const usage = new Usage(titled(action.action), () => this.#programs(action, fields));
    const form = make(
      "form",
      { novalidate: true, class: "panel-form" },
      action.deprecated && make("p", { class: "hint" }, ...prose(`Deprecated: ${action.deprecated}`)),
      action.long && make("p", { class: "hint" }, "This takes a while. Its progress appears below."),
      ...fields.map((each) => each.element),
      make("div", { class: "buttons" }, call, usage.button),
      usage.panel,
      answer,
    );
    form.addEventListener("input", () => usage.update());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#call(action, fields, { call, answer });
    });
    return make("details", { class: "action", id: `action-${action.service}-${action.action}` }, title(action), form);
  }

  // A required argument that is not filled in has an example instead.
  #programs({ service, action }, fields) {
    const given = fields.map((field) => [field.name, valueOf(field)]).filter(([, value]) => value !== undefined);
    return forAction({ service, action, args: Object.fromEntries(given), ...this.start() });
  }

  async #call(action, fields, { call, answer }) {
    const args = collect(fields);
    if (!args) return;
    const show = (heading, value, failed) => answer.replaceChildren(...shown(heading, value, failed));
    call.disabled = true;
    show("Waiting for the answer…");
    try {
      const session = await this.connect();
      if (!session) return show("The bot could not be reached.", undefined, true);
      const result = await session.action(action.service, action.action, args);
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
  const technical = make("code", { class: "technical" }, `${service}:${action}`);
  const name = make("span", { class: "action-name" }, titled(action));
  return make("summary", {}, name, technical, description && make("span", { class: "hint" }, ...prose(description)));
}

/** Return the value for a program; undefined for an optional argument that is not changed. */
function valueOf(field) {
  const { value } = field;
  const { required, schema, default: fallback } = field.described;
  if (required) return value === undefined || value === "" ? exampleOf(nodeOf(schema)) : value;
  return value === undefined || same(value, fallback) ? undefined : value;
}

/** Return the arguments as an object, without unchanged defaults; null if a field is invalid. */
function collect(fields) {
  const read = fields.map((field) => ({ field, found: field.read() }));
  const wrong = read.find(({ found }) => found.problem);
  if (wrong) {
    wrong.found.at.focus();
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
    field?.fail(sentence(problem, field.name), placeOf(problem));
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
