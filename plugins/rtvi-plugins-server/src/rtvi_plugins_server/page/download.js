// Save the transcript as a text file.

import { duration } from "./clock.js";
import { make } from "./elements.js";

const SPEAKERS = { user: "You", bot: "Bot", note: "Function" };

// Of an interrupted answer, only the part that was heard is kept.
function transcriptText(entries, title) {
  const lines = [...entries].map((entry) => {
    const { who, at, interrupted } = entry.dataset;
    const parts = [...entry.querySelectorAll(interrupted ? ".heard" : ".words")];
    const text = (parts.length ? parts : [entry]).map((each) => each.textContent.trim()).filter(Boolean);
    const said = who === "note" ? entry.querySelector("p").textContent : text.join(" ");
    return `[${duration(Number(at))}] ${SPEAKERS[who]}: ${said}${interrupted ? " (interrupted)" : ""}\n`;
  });
  return `${title}\n\n${lines.join("")}`;
}

/** Save the transcript of a conversation with a bot. */
export function saveTranscript(list, bot) {
  const at = new Date().toISOString().slice(0, 16);
  const text = transcriptText(list.children, `${bot}, ${at.replace("T", " ")} UTC`);
  saveText(`${bot}-${at.replace(":", "-")}.txt`, text);
}

function saveText(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
