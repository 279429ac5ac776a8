// Create elements. Text always becomes text, never markup.

/** Create an element. `properties` are attributes, `children` are elements and texts. False and null are ignored. */
export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === false || value === null || value === undefined) continue;
    element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.filter((each) => each !== null && each !== false && each !== undefined));
  return element;
}

/** Create a button that calls `act`. */
export function button(text, act, properties = {}) {
  const made = make("button", { type: "button", ...properties }, text);
  made.addEventListener("click", act);
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

/** Create an SVG element. */
export function draw(name, properties = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(properties)) element.setAttribute(key, String(value));
  element.append(...children);
  return element;
}

/** Return the element of this page with an id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Return the nodes of a text in which backticks mark code, as in docstrings. */
export function prose(text) {
  return String(text ?? "")
    .split("`")
    .map((part, index) => (index % 2 ? make("code", {}, part) : part))
    .filter((part) => part !== "");
}

const SERVICES = { llm: "Language model", stt: "Speech recognition", tts: "Voice", vad: "Speech detection" };

/** Return a name as people write it: `words_per_second` becomes "Words per second". */
export function titled(name) {
  if (name in SERVICES) return SERVICES[name];
  const words = name.replaceAll(/[_-]/g, " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Copy a text to the clipboard. Return the sentence `done`, or another one if the browser does not allow it. */
export async function copyText(text, done) {
  try {
    await navigator.clipboard.writeText(text);
    return done;
  } catch {
    return "The browser does not allow this page to use the clipboard.";
  }
}
