// Making elements. Whatever text is given becomes text, never markup.

/** A new element; `properties` are attributes, `children` elements and texts. False and null are left out. */
export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === false || value === null || value === undefined) continue;
    element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.filter((each) => each !== null && each !== false && each !== undefined));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** A new SVG element. */
export function draw(name, properties = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(properties)) element.setAttribute(key, String(value));
  element.append(...children);
  return element;
}

/** The element of this page with an id. */
export function byId(id) {
  return document.getElementById(id);
}

const INITIALS = ["llm", "stt", "tts", "vad"];

/** A name as people write it: `words_per_second` becomes "Words per second", `llm` "LLM". */
export function titled(name) {
  if (INITIALS.includes(name)) return name.toUpperCase();
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Put a text on the clipboard; true if the browser let us. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
