// Controls of lists and dictionaries, whose parts the user adds and removes.

import { button, make } from "./elements.js";
import { Part, readAll } from "./parts.js";
import { isCompound, items } from "./schema.js";

/** Rows that can be added and removed. */
class Rows {
  #holder = make("div", { class: "rows" });
  #place;
  rows = [];

  constructor(node, place, what) {
    this.node = node;
    this.#place = place;
    this.add = this.#button(`Add ${what}`, `Add ${what} to ${place.title}`, () => this.#added());
    this.element = make("div", { class: "compound" }, this.#holder, this.add);
  }

  #button(text, label, act) {
    return button(text, act, { class: "quiet", "aria-label": label, disabled: this.disabled });
  }

  #added() {
    const row = this.insert(undefined);
    edited(this.element);
    row.focus();
  }

  /** Append a row with these elements before its button. `row` gets the `element`. */
  append(row, ...elements) {
    const remove = this.#button("✕", `Remove from ${this.#place.title}`, () => this.#removed(row));
    row.element = make("div", { class: isCompound(row.part.node) ? "row stacked" : "row" }, ...elements, remove);
    this.rows.push(row);
    this.#holder.append(row.element);
    this.renumber();
    return row;
  }

  #removed(row) {
    this.rows.splice(this.rows.indexOf(row), 1);
    row.element.remove();
    this.renumber();
    edited(this.element);
    this.add.focus();
  }

  clear() {
    this.rows = [];
    this.#holder.replaceChildren();
  }

  renumber() {}

  get disabled() {
    return this.#place.disabled;
  }

  focus() {
    (this.rows[0] ?? this.add).focus();
  }
}

/** A list. */
export class List extends Rows {
  constructor(node, place) {
    super(node, place, "an item");
  }

  insert(value) {
    const part = new Part(this.node.item, { title: "Item", value, disabled: this.disabled });
    return this.append({ part, focus: () => part.focus() }, part.element);
  }

  renumber() {
    this.rows.forEach(({ part }, index) => part.rename(`Item ${index + 1}`));
  }

  set(value) {
    this.clear();
    for (const each of value ?? []) this.insert(each);
  }

  read(shown) {
    const { minItems, maxItems } = this.node;
    if (this.rows.length < minItems) return { problem: `Add at least ${items(minItems)}.` };
    if (this.rows.length > maxItems) return { problem: `Keep at most ${items(maxItems)}.` };
    return readAll(this.rows.map(({ part }) => part), shown, (values) => values);
  }

  part(index) {
    return this.rows[index]?.part;
  }
}

/** A dictionary: names that the user chooses, with values of one type. */
export class Entries extends Rows {
  constructor(node, place) {
    super(node, place, "an entry");
  }

  insert(value, name = "") {
    const key = make("input", { type: "text", "aria-label": "Name", placeholder: "Name", autocomplete: "off" });
    key.value = name;
    key.disabled = this.disabled;
    const part = new Part(this.node.value, { title: "Value", value, disabled: this.disabled });
    return this.append({ key, part, focus: () => key.focus() }, key, part.element);
  }

  set(value) {
    this.clear();
    for (const [name, each] of Object.entries(value ?? {})) this.insert(each, name);
  }

  read(shown) {
    const names = this.rows.map(({ key }) => key.value);
    const twice = names.find((name, index) => names.indexOf(name) < index);
    if (twice !== undefined) return { problem: `Two entries have the name “${twice}”.` };
    const combine = (values) => Object.fromEntries(values.map((value, index) => [names[index], value]));
    return readAll(this.rows.map(({ part }) => part), shown, combine);
  }

  part(name) {
    return this.rows.find(({ key }) => key.value === name)?.part;
  }
}

// Adding and removing parts is an edit too.
function edited(element) {
  element.dispatchEvent(new Event("input", { bubbles: true }));
}
