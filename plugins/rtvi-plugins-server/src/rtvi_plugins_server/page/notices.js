// Messages to the user: errors, notes, and text for screen readers.

import { byId } from "./elements.js";

/** Show an error, or remove it with "". */
export function say(sentence) {
  put(byId("error"), sentence);
}

/** Show a note. */
export function note(sentence) {
  put(byId("note"), sentence);
}

/** Announce a visible change to screen readers. */
export function announce(sentence) {
  byId("announcer").textContent = sentence;
}

function put(element, sentence) {
  element.textContent = sentence;
  element.hidden = !sentence;
}
