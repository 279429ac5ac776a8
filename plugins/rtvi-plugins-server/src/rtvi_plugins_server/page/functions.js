// Client functions that the bot calls. The user sees each call, and runs, answers or declines it.

import { button, make, titled } from "./elements.js";

const LATE = "The bot no longer waits for this call.";

/** Shows each function call as a card. If `can(name)` is true, `run(name, args)` runs the function. */
export class FunctionCalls {
  #cards = new Map();

  constructor({ insert, can, run, answer }) {
    Object.assign(this, { insert, can, run, answer });
  }

  /** Close all calls, because the conversation has ended. */
  clear() {
    for (const card of this.#cards.values()) card.close(LATE);
    this.#cards.clear();
  }

  /** Handle one event of the session. */
  take(type, data = {}) {
    if (type === "llm-function-call-in-progress") this.#asked(data);
    if (type === "llm-function-call-stopped") {
      const card = this.#cards.get(data.tool_call_id);
      card?.close(data.cancelled ? LATE : null);
    }
  }

  #asked({ tool_call_id, function_name, arguments: args = {} }) {
    let busy = false; // a second click must not run it twice
    const settle = async (getResult, sentence) => {
      if (busy) return;
      busy = true;
      try {
        const result = await getResult();
        this.answer({ function_name, tool_call_id, arguments: args, result });
        card.close(sentence);
      } catch (error) {
        busy = false;
        card.fail(error.message);
      }
    };
    const card = new Card(function_name, args, {
      run: this.can(function_name) ? () => settle(() => this.run(function_name, args), "Done.") : null,
      reply: (text) => settle(() => asJson(text), "Answered."),
      decline: () => settle(() => ({ error: "The user declined." }), "Declined."),
    });
    this.#cards.set(tool_call_id, card);
    this.insert(card.element);
  }
}

function asJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

let cards = 0;

class Card {
  #controls;
  #status = make("p", { role: "status" });

  constructor(name, args, { run, reply, decline }) {
    this.#controls = run ? yesOrNo(run, decline) : answering(reply, decline);
    const about = run ? "Do you allow it?" : "This page cannot run it. Type the result.";
    this.element = make(
      "div",
      { class: "card", role: "group", "aria-label": `The bot calls ${titled(name)}` },
      make("p", {}, "The bot wants to run ", make("strong", {}, titled(name)), " ", make("code", {}, name), ". ", about),
      make("pre", { tabindex: 0 }, JSON.stringify(args, null, 2)),
      this.#controls,
      this.#status,
    );
  }

  close(sentence) {
    if (!this.#controls.isConnected) return;
    this.#controls.remove();
    this.#status.textContent = sentence ?? "Answered.";
  }

  fail(sentence) {
    if (this.#controls.isConnected) this.#status.textContent = sentence;
  }
}

function yesOrNo(run, decline) {
  return make("div", { class: "buttons" }, button("Run it", run, { class: "primary" }), button("Decline", decline));
}

function answering(reply, decline) {
  const id = `answer-${++cards}`;
  const input = make("input", { id, type: "text", autocomplete: "off" });
  const label = make("label", { for: id, class: "unseen" }, "The result, as JSON or text");
  return make(
    "div",
    { class: "buttons" },
    label,
    input,
    button("Answer", () => reply(input.value), { class: "primary" }),
    button("Decline", decline),
  );
}
