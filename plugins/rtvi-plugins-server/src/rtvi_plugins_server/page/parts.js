// The parts of a form: a control with its label, hint and error. The control of a compound value has parts itself.

import { Fields, Nullable, Tuple, Union } from "./compounds.js";
import { singleControl } from "./controls.js";
import { make, prose, titled } from "./elements.js";
import { sentenceOf } from "./problems.js";
import { Entries, List } from "./rows.js";
import { hint } from "./schema.js";

let count = 0;

/** One control with its label, hint and error. Parts nest. */
export class Part {
  #control;
  #error;
  #label;
  #include = null; // for a value that may be left out
  onReveal = () => {};

  /** `about` is the hint; `extra` are more elements in the row of the label. `required` parts cannot be left out. */
  constructor(node, { name, title = titled(name ?? ""), about, extra = [], value, required = true, disabled = false }) {
    const id = `field-${++count}`;
    this.name = name;
    this.node = node;
    this.#control = controlOf(node, { id, name, title, disabled, value });
    const { input } = this.#control;
    this.#label = make("span", {}, title);
    const label = make(input ? "label" : "span", { for: input && id, id: `${id}-label`, class: "label" }, this.#label);
    const technical = name && make("code", { class: "technical" }, name);
    if (!required) this.#include = make("input", { type: "checkbox", "aria-label": `Include ${title}`, disabled });
    const include = this.#include && make("label", { class: "none" }, this.#include, "include");
    const texts = about ?? sentences(node.description, hint(node));
    this.#error = make("p", { id: `${id}-error`, class: "field-error", hidden: true });
    const inline = node.kind === "switch";
    this.element = make(
      "div",
      input ? { class: "field" } : { class: "field", role: "group", "aria-labelledby": `${id}-label` },
      make("div", { class: "label-row" }, inline && this.#control.element, label, technical, include, ...extra),
      !inline && this.#control.element,
      make("p", { id: `${id}-hint`, class: "hint" }, ...prose(texts)),
      this.#error,
    );
    this.element.addEventListener("input", () => (this.#showIncluded(), this.fail("")));
    this.set(value);
  }

  /** Whether the value is written into the form, if it may be left out. */
  get included() {
    return this.#include === null || this.#include.checked;
  }

  set(value) {
    if (this.#include) this.#include.checked = value !== undefined;
    this.#control.set(value);
    this.#showIncluded();
    this.fail("");
  }

  #showIncluded() {
    this.#control.element.hidden = !this.included;
    this.element.classList.toggle("left-out", !this.included);
  }

  rename(title) {
    this.#label.textContent = title;
  }

  /**
   * Return `{value}`, `{empty: true}`, or `{problem, at}` with the innermost part that has the problem. With `shown`,
   * the problem is also shown there.
   */
  read(shown = false) {
    const found = this.#control.read(shown);
    if (!found.problem || found.at) return found;
    if (shown) this.fail(found.problem);
    return { ...found, at: this };
  }

  /** As `read`, but a value must be there. */
  readRequired(shown = false) {
    const found = this.read(shown);
    if (!found.empty) return found;
    const problem = "This is required.";
    if (shown) this.fail(problem);
    return { problem, at: this };
  }

  /** Show an error at a place inside the value, or as near to it as possible. Return the part that shows it. */
  fail(sentence, place = []) {
    const inner = place.length ? this.#control.part?.(place[0]) : null;
    if (inner) return inner.fail(sentence, place.slice(1));
    const left = place.map((key) => (typeof key === "number" ? `[${key}]` : `.${key}`)).join("");
    this.#error.textContent = left ? `${sentence} (at ${left})` : sentence;
    this.#error.hidden = !sentence;
    const { input } = this.#control;
    if (sentence) input?.setAttribute("aria-invalid", "true");
    else input?.removeAttribute("aria-invalid");
    if (sentence) reveal(this.element);
    if (sentence) this.onReveal();
    return this;
  }

  focus() {
    this.#control.focus();
  }
}

function reveal(element) {
  for (let fold = element.closest?.("details"); fold; fold = fold.parentElement?.closest("details")) fold.open = true;
}

/** Join texts to sentences. Empty ones are left out. */
export function sentences(...texts) {
  return texts
    .filter(Boolean)
    .map(sentenceOf)
    .join(" ");
}

/** Create the control of a node. `place` is that of `singleControl`. */
export function controlOf(node, place) {
  const Control = { nullable: Nullable, union: Union, list: List, tuple: Tuple, object: Fields, map: Entries }[node.kind];
  return Control ? new Control(node, place) : singleControl(node, place);
}

/** Read parts in order, and combine their values. The first problem counts. */
export function readAll(parts, shown, combine) {
  const found = parts.map((part) => part.readRequired(shown));
  return found.find((each) => each.problem) ?? { value: combine(found.map(({ value }) => value)) };
}
