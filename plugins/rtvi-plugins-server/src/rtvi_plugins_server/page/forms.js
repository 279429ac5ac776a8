// The controls of a form, built from descriptions.

import { make, titled } from "./elements.js";
import { control, hint, isLong, read, same, show } from "./fields.js";

let made = 0;

/**
 * One control with its label, hint and error. `long` is true if it needs much space. `onEdit` is called when the user
 * changes the control, `onReveal` when an error must become visible.
 */
export class Field {
  #control;
  #input;
  #error;
  #known;

  constructor(described, { value, writable = true, onEdit = () => {} }) {
    this.described = described;
    this.writable = writable;
    this.#control = control(described);
    this.#known = value;
    this.long = this.#control.kind === "json" || isLong(this.#control, value);
    this.onReveal = () => {};
    const id = `field-${++made}`;
    this.#input = input(this.#control, described, { id, value, writable });
    this.#error = make("p", { id: `${id}-error`, class: "field-error", hidden: true });
    this.element = this.#assemble(id);
    this.set(value);
    this.#input.addEventListener("input", () => (this.fail(""), onEdit()));
  }

  #assemble(id) {
    const { described } = this;
    const isSwitch = this.#control.kind === "switch";
    const label = make(
      "label",
      { for: id, title: described.name },
      titled(described.name),
      this.#control.required && make("span", { class: "required" }, " (required)"),
      !this.writable && make("span", { class: "badge" }, "read only"),
      described.deprecated && make("span", { class: "badge" }, "deprecated"),
    );
    const about = make("p", { id: `${id}-hint`, class: "hint" }, this.#about());
    const list = this.#control.suggestions && suggestions(id, this.#control.suggestions);
    const row = isSwitch ? make("div", { class: "switch-row" }, this.#input, label) : null;
    return make("div", { class: "field" }, ...(row ? [row] : [label, this.#input]), about, this.#error, list || null);
  }

  #about() {
    const { described } = this;
    const bounds = hint(this.#control);
    const fallback = described.default;
    const shown = fallback === undefined || fallback === null || fallback === "" ? "" : brief(fallback);
    const sentences = [
      described.description,
      described.deprecated && `Deprecated: ${described.deprecated}`,
      bounds && `${bounds[0].toUpperCase()}${bounds.slice(1)}.`,
      shown && `By default ${shown}.`,
    ];
    return sentences.filter(Boolean).join(" ");
  }

  get name() {
    return this.described.name;
  }

  get raw() {
    return this.#control.kind === "switch" ? this.#input.checked : this.#input.value;
  }

  /** Return `{value}`, `{absent: true}` or `{problem}`. A problem is also shown. */
  read() {
    const found = read(this.#control, this.raw);
    this.fail(found.problem ?? "");
    return found;
  }

  /** Return whether the user has changed the value. */
  get changed() {
    if (this.raw === show(this.#control, this.#known)) return false;
    const found = read(this.#control, this.raw);
    return Boolean(found.problem) || ("value" in found && !same(found.value, this.#known));
  }

  /** Show a value as the current one. */
  set(value) {
    this.#known = value;
    const shown = show(this.#control, value);
    if (this.#control.kind === "switch") this.#input.checked = shown;
    else this.#input.value = shown;
    this.fail("");
  }

  /** Show the current value again. */
  restore() {
    this.set(this.#known);
  }

  /** Show an error, or remove it with "". */
  fail(sentence) {
    this.#error.textContent = sentence;
    this.#error.hidden = !sentence;
    if (!sentence) return this.#input.removeAttribute("aria-invalid");
    this.#input.setAttribute("aria-invalid", "true");
    this.onReveal();
  }

  focus() {
    this.#input.focus();
  }
}

function input(made, described, { id, value, writable }) {
  const shared = {
    id,
    name: described.name,
    "aria-describedby": `${id}-hint ${id}-error`,
    disabled: !writable,
    autocomplete: "off",
  };
  if (made.kind === "switch") return make("input", { ...shared, type: "checkbox", role: "switch" });
  if (made.kind === "choice") return choice(made, shared);
  if (made.kind === "json")
    return make("textarea", { ...shared, class: "code", rows: lines(made, value), spellcheck: "false" });
  if (isLong(made, value)) return make("textarea", { ...shared, rows: 2 });
  if (made.kind === "number") return make("input", { ...shared, type: "number", ...steps(made) });
  return make("input", { ...shared, type: "text", list: made.suggestions && `${id}-list` });
}

function lines(made, value) {
  return Math.max(2, Math.min(10, show(made, value).split("\n").length));
}

function steps(made) {
  const bounded = made.minimum !== undefined && made.maximum !== undefined && made.maximum - made.minimum <= 10;
  return { min: made.minimum, max: made.maximum, step: made.whole ? 1 : bounded ? "0.1" : "any", inputmode: "decimal" };
}

function choice(made, shared) {
  const options = made.choices.map((each) => make("option", { value: JSON.stringify(each) }, worded(each)));
  return make("select", shared, make("option", { value: "", hidden: true }, "Choose…"), ...options);
}

function worded(value) {
  return { null: "none", true: "yes", false: "no" }[String(value)] ?? String(value);
}

function suggestions(id, values) {
  return make("datalist", { id: `${id}-list` }, ...values.map((value) => make("option", { value })));
}

function brief(value) {
  const text = typeof value === "boolean" ? (value ? "on" : "off") : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
