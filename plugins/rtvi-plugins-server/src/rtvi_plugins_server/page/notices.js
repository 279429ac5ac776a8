// What the page says to the user in sentences: what failed, what to know, and what a screen reader should read out.

import { byId } from "./elements.js";

/** Say what failed; with "" that nothing did. */
export function say(sentence) {
  put(byId("error"), sentence);
}

/** Say what is good to know. */
export function note(sentence) {
  put(byId("note"), sentence);
}

/** Have a screen reader say what the eye sees anyway. */
export function announce(sentence) {
  byId("announcer").textContent = sentence;
}

function put(element, sentence) {
  element.textContent = sentence;
  element.hidden = !sentence;
}
