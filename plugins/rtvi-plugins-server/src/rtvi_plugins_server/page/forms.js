// The fields of a form, built from the descriptions of options and arguments.

import { button, make } from "./elements.js";
import { Part, sentences } from "./parts.js";
import { fits, hint, isCompound, isLong, nodeOf, same } from "./schema.js";

const JSON_TYPES = { list: "array", tuple: "array", object: "object", map: "object" };

/**
 * The field of one option or argument. `long` is true if it needs much space. `onEdit` is called when the user changes
 * it, `onReveal` when an error must become visible. `usage` is a `Usage` to show with it.
 */
export class Field {
  #node;
  #part;
  #known;
  #touched = false;
  #asJson = false;
  #toggle = null;
  #usage;

  constructor(described, { value, writable = true, onEdit = () => {}, usage = null }) {
    this.described = described;
    this.writable = writable;
    this.onReveal = () => {};
    this.#known = value;
    this.#usage = usage;
    this.#node = nodeOf(described.schema);
    const compound = isCompound(this.#node);
    this.long = compound || this.#node.kind === "json" || isLong(this.#node, value);
    if (compound) this.#toggle = this.#makeToggle();
    this.element = make("div", { class: "whole-field" });
    this.element.addEventListener("input", () => {
      this.#touched = true;
      onEdit();
    });
    this.#show(value);
  }

  #makeToggle() {
    return button("JSON", () => this.#switchForm(), { class: "quiet", "aria-pressed": "false" });
  }

  // A value that does not fit the form can still be edited as JSON.
  #show(value) {
    if (this.#toggle && value !== undefined && !fits(this.#node, value)) this.#asJson = true;
    const { described } = this;
    const node = this.#asJson ? { kind: "json", type: JSON_TYPES[this.#node.kind] ?? "any" } : this.#node;
    this.#toggle?.setAttribute("aria-pressed", String(this.#asJson));
    this.#part = new Part(node, {
      name: described.name,
      about: this.#about(node),
      extra: [...this.#badges(), this.#toggle, this.#usage?.button],
      value,
      disabled: !this.writable,
    });
    this.#part.onReveal = () => this.onReveal();
    this.element.replaceChildren(this.#part.element, ...(this.#usage ? [this.#usage.panel] : []));
  }

  // Show the same value in the other form.
  #switchForm() {
    const found = this.#part.read(true);
    if (found.problem) return found.at.focus();
    if (this.#asJson && "value" in found && !fits(this.#node, found.value)) {
      return this.#part.fail("The form cannot show this value.");
    }
    this.#asJson = !this.#asJson;
    this.#show(found.value);
    this.#toggle.focus();
  }

  #badges() {
    return [
      this.described.required && make("span", { class: "badge" }, "required"),
      !this.writable && make("span", { class: "badge" }, "read only"),
      this.described.deprecated && make("span", { class: "badge" }, "deprecated"),
    ].filter(Boolean);
  }

  #about(node) {
    const { description, deprecated, default: fallback } = this.described;
    const shown = fallback === undefined || fallback === null || fallback === "" ? "" : brief(fallback);
    return sentences(description, deprecated && `Deprecated: ${deprecated}`, hint(node), shown && `By default ${shown}`);
  }

  get name() {
    return this.described.name;
  }

  /** Return `{value}`, `{absent: true}` for an empty optional field, or `{problem, at}`. A problem is also shown. */
  read() {
    if (this.described.required) return this.#part.readRequired(true);
    const found = this.#part.read(true);
    return found.empty ? { absent: true } : found;
  }

  /** Return the value without showing problems; undefined if it is empty or wrong. */
  get value() {
    return this.#part.read().value;
  }

  /** Return whether the user has changed the value. */
  get changed() {
    const found = this.#part.read();
    if (!this.#touched || found.empty) return false;
    return Boolean(found.problem) || !same(found.value, this.#known);
  }

  /** Show a value as the current one. */
  set(value) {
    this.#known = value;
    this.restore();
  }

  /** Show a value as if the user had written it. */
  enter(value) {
    this.#touched = true;
    if (this.#toggle && !this.#asJson && value !== undefined && !fits(this.#node, value)) this.#show(value);
    else this.#part.set(value);
  }

  /** Show the current value again. */
  restore() {
    this.enter(this.#known);
    this.#touched = false;
  }

  /** Show an error at a place inside the value, or remove it with "". Return what can be focused. */
  fail(sentence, place = []) {
    return this.#part.fail(sentence, place);
  }

  focus() {
    this.#part.focus();
  }
}

function brief(value) {
  const text = typeof value === "boolean" ? (value ? "on" : "off") : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
