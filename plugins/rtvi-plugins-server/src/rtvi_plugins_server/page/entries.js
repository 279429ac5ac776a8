// The entries of a transcript: the user's words as they are recognised, and the bot's words as they are heard.

import { make } from "./elements.js";

/** Words that the user speaks or has typed. */
export class UserEntry {
  #element;
  #final = make("span", { class: "final" });
  #interim = make("span", { class: "interim", "aria-hidden": true });

  constructor(element) {
    this.#element = element;
    element.append(make("span", { class: "who" }, "You"), make("p", { class: "words" }, this.#final, this.#interim));
    element.dataset.final = "false";
  }

  get text() {
    return this.#final.textContent;
  }

  get empty() {
    return !this.text && !this.#interim.textContent;
  }

  typed(text) {
    this.#final.textContent = text;
    this.#element.classList.add("waiting");
  }

  /** Mark typed text as received by the bot. */
  settle() {
    this.#element.classList.remove("waiting");
    this.#element.dataset.final = "true";
  }

  heard(text, final) {
    const joint = this.text && text ? " " : "";
    this.#interim.textContent = final ? "" : joint + text;
    if (final) this.#final.textContent += joint + text;
    this.#element.dataset.final = String(final);
  }

  /** Show the text that the LLM received. It replaces the transcripts. */
  taken(text) {
    this.#final.textContent = text;
    this.#interim.textContent = "";
    this.settle();
  }

  remove() {
    this.#element.remove();
  }
}

/** Words of the bot. Those that the user has heard are dark. */
export class BotEntry {
  #element;
  #words = make("p", { class: "words" });
  #tail = make("span", { class: "unheard tail" });
  #segments = new Map();
  #streamed = "";
  #shown = 0; // how much of what was streamed stands in sentences
  #aloud;
  spoken = false;
  ended = false;

  /** `aloud`: whether this will probably be spoken. It is certain with the first sentence. */
  constructor(element, { aloud }) {
    this.#element = element;
    this.#aloud = aloud;
    this.#words.append(this.#tail);
    element.append(make("span", { class: "who" }, "Bot"), this.#words);
  }

  get text() {
    return this.#words.textContent;
  }

  get empty() {
    return !this.text;
  }

  stream(text) {
    this.#streamed += text;
    this.#showTail();
  }

  output({ text, segment_id, will_be_spoken, spoken_status, spoken_progress }) {
    const segment = this.#segments.get(segment_id) ?? this.#segment(segment_id, text);
    this.spoken ||= Boolean(will_be_spoken);
    this.#aloud = this.spoken;
    if (!will_be_spoken || spoken_status === "completed") segment.complete();
    else if (spoken_status === "in-progress") segment.begin(spoken_progress?.accumulated_text?.length ?? 0);
  }

  #segment(id, text) {
    const at = this.#streamed.indexOf(text, this.#shown);
    if (at >= 0) this.#shown = at + text.length;
    const segment = new Segment(text);
    this.#segments.set(id, segment);
    this.#tail.before(segment.element, " ");
    this.#showTail();
    return segment;
  }

  #showTail() {
    this.#tail.textContent = this.#streamed.slice(this.#shown).trimStart();
  }

  /** Mark a word or a sentence as heard. Return whether it belongs to this entry. */
  hear(text) {
    return [...this.#segments.values()].some((segment) => segment.hearing && segment.find(text));
  }

  end() {
    this.ended = true;
  }

  /** End the entry: nothing more will be heard and, if it was still being `written`, nothing more is written. */
  interrupt({ written }) {
    if (this.ended || this.empty) return;
    this.ended = true;
    const segments = [...this.#segments.values()];
    // The user reads text that is not spoken at once.
    if (!this.#aloud) this.#tail.className = "heard tail";
    const struck = segments.some((each) => each.unheard) || (this.#aloud && this.#tail.textContent !== "");
    // It may be unknown how much of the last sentence was heard.
    if (struck) this.#cut("interrupted");
    else if (written || segments.some((each) => each.whole)) this.#cut("cut short");
  }

  #cut(word) {
    this.#element.dataset.interrupted = "true";
    this.#element.append(make("span", { class: "cut" }, word));
  }
}

/** A sentence. */
class Segment {
  #heard = make("span", { class: "heard" });
  #unheard = make("span", { class: "unheard" });
  #text;
  #at = 0;
  hearing = false;
  whole = false; // the bot reported all of it as heard when it had only begun

  constructor(text) {
    this.#text = text;
    this.element = make("span", { class: "segment" }, this.#heard, this.#unheard);
    this.#show();
  }

  get unheard() {
    return this.#at < this.#text.length;
  }

  begin(length) {
    this.hearing = true;
    this.#hear(length);
  }

  complete() {
    this.whole = false;
    this.#hear(this.#text.length);
  }

  find(text) {
    const words = text.trim();
    const at = this.#text.indexOf(words, this.#at);
    if (at < 0) return this.#findEach(words.match(/[\p{L}\p{N}]+/gu) ?? []);
    this.whole = words === this.#text.trim() && /\s/.test(words);
    this.#hear(at + words.length);
    return true;
  }

  // The sentence may be spoken without the markup that is shown.
  #findEach(words) {
    let at = this.#at;
    if (words.length < 2) return false;
    for (const word of words) {
      const found = this.#text.indexOf(word, at);
      if (found < 0) return false;
      at = found + word.length;
    }
    this.whole = true;
    this.#hear(this.#text.length);
    return true;
  }

  #hear(length) {
    this.#at = Math.max(this.#at, length);
    this.hearing &&= this.unheard;
    this.#show();
  }

  #show() {
    this.#heard.textContent = this.#text.slice(0, this.#at);
    this.#unheard.textContent = this.#text.slice(this.#at);
  }
}
