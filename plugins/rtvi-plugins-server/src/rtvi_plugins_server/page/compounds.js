// Controls of unions, tuples, objects, and values that may be none.
//
// They have what single controls have. `part(key)` returns the part at a key of the value, for errors inside it.

import { make } from "./elements.js";
import { Part, controlOf, readAll } from "./parts.js";
import { fits } from "./schema.js";

/** A value that may be none. */
export class Nullable {
  #none;
  #inner;

  constructor(node, place) {
    this.#inner = controlOf(node.node, place);
    this.input = this.#inner.input;
    this.#none = make("input", { type: "checkbox", "aria-label": `${place.title}: none`, disabled: place.disabled });
    const label = make("label", { class: "none" }, this.#none, "none");
    this.element = make("div", { class: "nullable" }, this.#inner.element, label);
    this.#none.addEventListener("input", () => this.#show());
  }

  #show() {
    this.#inner.element.hidden = this.#none.checked;
  }

  set(value) {
    this.#none.checked = value === null || value === undefined;
    this.#inner.set(value ?? undefined);
    this.#show();
  }

  read(shown) {
    return this.#none.checked ? { value: null } : this.#inner.read(shown);
  }

  part(key) {
    return this.#inner.part?.(key);
  }

  focus() {
    (this.#none.checked ? this.#none : this.#inner).focus();
  }
}

/** A value of one of several types. The user chooses the type. */
export class Union {
  #members;
  #inner;
  #place;
  #holder = make("div");

  constructor({ members }, place) {
    this.#members = members;
    this.#place = place;
    const options = members.map(({ label }, index) => make("option", { value: index }, label));
    this.select = make("select", { "aria-label": `Type of ${place.title}`, disabled: place.disabled }, ...options);
    this.element = make("div", { class: "union" }, this.select, this.#holder);
    this.select.addEventListener("input", () => this.#use(Number(this.select.value), undefined));
  }

  #use(index, value) {
    this.select.value = String(index);
    this.#inner = controlOf(this.#members[index], { ...this.#place, value });
    this.#inner.input?.setAttribute("aria-label", this.#place.title);
    this.#inner.set(value);
    this.#holder.replaceChildren(this.#inner.element);
  }

  set(value) {
    const index = this.#members.findIndex((each) => fits(each, value));
    this.#use(Math.max(0, index), index < 0 ? undefined : value);
  }

  read(shown) {
    return this.#inner.read(shown);
  }

  part(key) {
    return this.#inner.part?.(key);
  }

  focus() {
    this.#inner.focus();
  }
}

/** A list of fixed length. */
export class Tuple {
  #parts;

  constructor({ items }, { disabled }) {
    this.#parts = items.map((node, index) => new Part(node, { title: `${index + 1}: ${node.label}`, disabled }));
    this.element = make("div", { class: "compound" }, ...this.#parts.map((each) => each.element));
  }

  set(value) {
    this.#parts.forEach((part, index) => part.set(value?.[index]));
  }

  read(shown) {
    return readAll(this.#parts, shown, (values) => values);
  }

  part(index) {
    return this.#parts[index];
  }

  focus() {
    this.#parts[0]?.focus();
  }
}

/** An object with known fields. */
export class Fields {
  #parts;

  constructor({ fields }, { disabled }) {
    this.#parts = fields.map(({ name, required, node }) => new Part(node, { name, required, disabled }));
    this.element = make("div", { class: "compound" }, ...this.#parts.map((each) => each.element));
  }

  set(value) {
    for (const part of this.#parts) part.set(value?.[part.name]);
  }

  read(shown) {
    const parts = this.#parts.filter((each) => each.included);
    const combine = (values) => Object.fromEntries(values.map((value, index) => [parts[index].name, value]));
    return readAll(parts, shown, combine);
  }

  part(name) {
    return this.#parts.find((each) => each.name === name);
  }

  focus() {
    this.#parts[0]?.focus();
  }
}
