// Controls of single values: a switch, a choice, a number with its slider, a text, JSON, and none.
//
// Every control has an `element`, and `input` if a label can name it. `set(value)` shows a value, `read()` returns what
// `schema.read` returns, `focus()` moves the focus to it.

import { make } from "./elements.js";
import { isLong, isSlider, read, show, stepOf, worded } from "./schema.js";

/** Create the control of a node. `place` holds `id`, `name`, `title`, `disabled` and the first `value`. */
export function singleControl(node, place) {
  if (node.kind === "none") return new None();
  if (node.kind === "switch") return new Switch(place);
  return isSlider(node) ? new Slider(node, place) : new Written(node, place);
}

function attributes({ id, name, disabled }) {
  return { id, name, disabled, "aria-describedby": `${id}-hint ${id}-error`, autocomplete: "off" };
}

class None {
  element = make("p", { class: "hint" }, "none");

  set() {}

  read() {
    return { value: null };
  }

  focus() {}
}

class Switch {
  constructor(place) {
    this.element = this.input = make("input", { ...attributes(place), type: "checkbox", role: "switch" });
  }

  set(value) {
    this.input.checked = Boolean(value);
  }

  read() {
    return { value: Boolean(this.input.checked) };
  }

  focus() {
    this.input.focus();
  }
}

/** A value that is written, or chosen from a list. */
class Written {
  constructor(node, place) {
    this.node = node;
    this.element = this.input = inputOf(node, place);
    if (suggests(node, place)) this.element = make("div", {}, this.input, suggestions(place.id, node.suggestions));
  }

  set(value) {
    this.input.value = show(this.node, value);
  }

  read() {
    return read(this.node, this.input.value);
  }

  focus() {
    this.input.focus();
  }
}

/** A number between two ends, with a slider beside it. */
class Slider extends Written {
  #range;

  constructor(node, place) {
    super(node, place);
    this.#range = make("input", {
      type: "range",
      min: node.minimum,
      max: node.maximum,
      step: stepOf(node),
      "aria-label": `${place.title}, slider`,
      disabled: place.disabled,
    });
    this.#range.addEventListener("input", () => (this.input.value = this.#range.value));
    this.input.addEventListener("input", () => (this.#range.value = this.input.value));
    this.element = make("div", { class: "slider" }, this.#range, this.input);
  }

  set(value) {
    super.set(value);
    this.#range.value = value ?? this.node.minimum;
  }
}

function inputOf(node, place) {
  const shared = attributes(place);
  if (node.kind === "choice") return choice(node, shared);
  if (node.kind === "json") {
    return make("textarea", { ...shared, class: "code", rows: lines(node, place.value), spellcheck: "false" });
  }
  if (node.kind === "number") {
    const { minimum: min, maximum: max } = node;
    return make("input", { ...shared, type: "number", min, max, step: stepOf(node), inputmode: "decimal" });
  }
  if (suggests(node, place)) return make("input", { ...shared, type: "text", list: `${place.id}-list` });
  return isLong(node, place.value) ? make("textarea", { ...shared, rows: 2 }) : shortText(shared);
}

// An input removes line breaks from its value.
function suggests(node, { value }) {
  return Boolean(node.suggestions) && !isLong(node, value);
}

// One line grows to several with Shift and Enter. Enter alone submits the form, as in any one-line field.
function shortText(shared) {
  const input = make("textarea", { ...shared, rows: 1, class: "short" });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    input.form?.requestSubmit();
  });
  return input;
}

function lines(node, value) {
  return Math.max(2, Math.min(10, show(node, value).split("\n").length));
}

function choice(node, shared) {
  const options = node.choices.map((each) => make("option", { value: JSON.stringify(each) }, worded(each)));
  return make("select", shared, make("option", { value: "", hidden: true }, "Choose…"), ...options);
}

function suggestions(id, values) {
  return make("datalist", { id: `${id}-list` }, ...values.map((value) => make("option", { value })));
}
