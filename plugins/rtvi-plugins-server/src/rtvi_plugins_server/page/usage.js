// "Use from code": shows the program that does what a form does, in the language that the user chose last.

import { button, copyText, make } from "./elements.js";

const LANGUAGES = ["curl", "JavaScript", "Python"];
let chosen = LANGUAGES[0];

/** A button, and the panel that it opens. `programs()` returns the programs by language. `brief`: a short button. */
export class Usage {
  #programs;
  #pre = make("pre", { class: "program", tabindex: 0 });
  #languages;
  #status = make("span", { role: "status", class: "status" });

  constructor(title, programs, { brief = false } = {}) {
    this.#programs = programs;
    this.button = button(brief ? "Code" : "Use from code", () => this.#toggle(), {
      class: "quiet code-button",
      "aria-expanded": "false",
      "aria-label": `Use from code: ${title}`,
    });
    this.#languages = LANGUAGES.map((each) => this.#language(each));
    const copy = button("Copy", () => this.#copy(), { class: "quiet" });
    const tools = make("div", { class: "buttons" }, ...this.#languages, copy, this.#status);
    this.panel = make("div", { class: "usage", role: "group", "aria-label": `Use from code: ${title}` }, tools, this.#pre);
    this.panel.hidden = true;
  }

  #language(name) {
    return button(name, () => ((chosen = name), this.update()), { class: "quiet", "data-language": name });
  }

  #toggle() {
    this.panel.hidden = !this.panel.hidden;
    this.button.setAttribute("aria-expanded", String(!this.panel.hidden));
    this.update();
    if (!this.panel.hidden) this.panel.scrollIntoView({ block: "nearest" });
  }

  /** Show the program for what the form holds now. */
  update() {
    if (this.panel.hidden) return;
    this.#pre.textContent = this.#programs()[chosen];
    this.#languages.forEach((each, index) => each.setAttribute("aria-pressed", String(LANGUAGES[index] === chosen)));
    this.#status.textContent = "";
  }

  async #copy() {
    this.#status.textContent = await copyText(this.#pre.textContent, "Copied.");
  }
}
