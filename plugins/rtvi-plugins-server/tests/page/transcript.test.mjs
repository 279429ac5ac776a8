// The transcript: which words share an entry, what of them was cut, and what of it is in sight.

import assert from "node:assert/strict";
import test from "node:test";

import { element } from "./browser.mjs";

const { Transcript } = await import("../../src/rtvi_plugins_server/page/transcript.js");

const TALL = 90; // px of an entry, more than one may be from the end

function telling() {
  const list = element("ol");
  list.clientHeight = 200;
  Object.defineProperty(list, "scrollHeight", { get: () => Math.max(list.clientHeight, list.children.length * TALL) });
  const time = { now: 0 };
  const transcript = new Transcript(list, { announce() {}, clock: () => time.now });
  const entries = (who) => list.children.filter((each) => each.attributes["data-who"] === who);
  const words = () => entries("bot").map((each) => each.all("p")[0].textContent.trim());
  const spans = (within, name) => within.all("span").filter((each) => each.className.split(" ").includes(name));
  const marks = () => entries("bot").map((each) => spans(each, "cut")[0]?.textContent);
  const cut = () => spans(list, "unheard").map((each) => each.textContent);
  const tell = (...events) => events.forEach((each) => transcript.take(...each));
  const end = () => list.scrollHeight - list.scrollTop - list.clientHeight;
  return { transcript, list, time, words, marks, tell, end, cut };
}

let segments = 0;

const known = (text, will_be_spoken, segment_id = ++segments) => [
  "bot-output",
  { text, segment_id, will_be_spoken, spoken_status: "new" },
];
const heard = (text, segment_id, spoken_status) => [
  "bot-output",
  { text, segment_id, will_be_spoken: true, spoken_status, spoken_progress: { accumulated_text: "" } },
];
const streamed = (text) => ["bot-llm-text", { text }];

// ---- what is in sight

test("what one sends is in sight, and so is what comes after it", () => {
  const { transcript, tell, end } = telling();
  for (let each = 0; each < 5; each++) {
    transcript.typed(`Question ${each}`);
    assert.equal(end(), 0);
    tell(["user-llm-text", { text: `Question ${each}` }], ["bot-llm-started"], streamed("Yes."));
    tell(known("Yes.", false), ["bot-llm-stopped"]);
    assert.equal(end(), 0);
  }
});

test("whoever looks back is left alone, until he sends something", () => {
  const { transcript, list, tell, end } = telling();
  for (let each = 0; each < 5; each++) transcript.typed("Hello");
  list.scrollTop = 10;
  list.does("scroll");
  tell(["bot-llm-started"], streamed("Yes."));
  assert.equal(list.scrollTop, 10);
  transcript.typed("Hello");
  assert.equal(end(), 0);
});

test("the end stays in sight when something else takes room", () => {
  const { transcript, list, end } = telling();
  for (let each = 0; each < 5; each++) transcript.typed("Hello");
  list.clientHeight = 100;
  list.resize();
  assert.equal(end(), 0);
});

// ---- which words share an entry

test("what is said after the bot has stopped speaking stands in an entry of its own", () => {
  const { tell, words } = telling();
  tell(["bot-llm-started"], streamed("Good day."), known("Good day.", true), ["bot-llm-stopped"]);
  tell(["bot-started-speaking"], ["bot-stopped-speaking"]);
  tell(known("Are you there?", true), known("I am here.", true), ["bot-started-speaking"], ["bot-stopped-speaking"]);
  tell(known("Sorry.", true));
  assert.deepEqual(words(), ["Good day.", "Are you there? I am here.", "Sorry."]);
});

test("what is only written stands apart from an answer, and from what was written long before", () => {
  const { tell, time, words } = telling();
  tell(["bot-llm-started"], streamed("Good day."), known("Good day.", false), ["bot-llm-stopped"]);
  tell(known("Are you there?", false), known("I am here.", false));
  time.now = 5000;
  tell(known("Good bye.", false));
  assert.deepEqual(words(), ["Good day.", "Are you there? I am here.", "Good bye."]);
});

test("an answer that an LLM is slow to write is one entry", () => {
  const { tell, time, words } = telling();
  tell(["bot-llm-started"], streamed("One. "), known("One.", true));
  time.now = 5000;
  tell(streamed("Two."), known("Two.", true));
  assert.deepEqual(words(), ["One. Two."]);
});

test("a sentence stands once, also when the next answer of the turn has begun before it is heard", () => {
  const { tell, words, cut } = telling();
  tell(["bot-llm-started"], streamed("Let me see."), known("Let me see.", true, "see"), ["bot-llm-stopped"]);
  tell(["bot-llm-started"], streamed("It is free."), known("It is free.", true));
  tell(heard("Let me see.", "see", "in-progress"), ["bot-tts-text", { text: "Let" }]);
  assert.deepEqual(words(), ["Let me see.", "It is free."]);
  assert.deepEqual(cut().filter(Boolean), [" me see.", "It is free."]);
});

// ---- what was cut

test("an answer that was heard in part is marked, and the rest is struck out", () => {
  const { tell, marks, cut } = telling();
  tell(["bot-llm-started"], streamed("One two. "), known("One two.", true, "a"), ["bot-llm-stopped"]);
  tell(["bot-started-speaking"], heard("One two.", "a", "in-progress"), ["bot-tts-text", { text: "One" }]);
  tell(["bot-interrupted"], ["bot-stopped-speaking"]);
  assert.deepEqual(marks(), ["interrupted"]);
  assert.deepEqual(cut().filter(Boolean), [" two."]);
});

test("an answer of which every word was heard is not marked", () => {
  const { tell, marks } = telling();
  tell(["bot-llm-started"], streamed("One two."), known("One two.", true, "b"), ["bot-llm-stopped"]);
  tell(["bot-started-speaking"], heard("One two.", "b", "in-progress"));
  tell(["bot-tts-text", { text: "One" }], ["bot-tts-text", { text: "two." }]);
  tell(["bot-interrupted"], ["bot-stopped-speaking"]);
  assert.deepEqual(marks(), [undefined]);
});

test("a sentence that is spoken without its marks is found as it is shown", () => {
  const { tell, marks, cut } = telling();
  tell(["bot-llm-started"], streamed("The **big** [room](https://e.org)."));
  tell(known("The **big** [room](https://e.org).", true, "m"), ["bot-llm-stopped"], ["bot-started-speaking"]);
  tell(heard("The **big** [room](https://e.org).", "m", "in-progress"), ["bot-tts-text", { text: "A small room." }]);
  assert.deepEqual(
    cut().filter((each) => each),
    ["The **big** [room](https://e.org)."],
  );
  tell(["bot-tts-text", { text: "The big room." }]);
  assert.deepEqual(
    cut().filter((each) => each),
    [],
  );
  tell(["bot-interrupted"]);
  assert.deepEqual(marks(), ["cut short"]);
});

test("a sentence that was told at once and not heard to its end is marked as cut short", () => {
  const { tell, marks } = telling();
  tell(["bot-llm-started"], streamed("One two."), known("One two.", true, "c"), ["bot-llm-stopped"]);
  tell(["bot-started-speaking"], heard("One two.", "c", "in-progress"), ["bot-tts-text", { text: "One two." }]);
  tell(["bot-interrupted"], ["bot-stopped-speaking"]);
  assert.deepEqual(marks(), ["cut short"]);
});

test("a written answer that was still growing is marked as cut short, and nothing that was read is struck out", () => {
  const { tell, marks, cut } = telling();
  tell(["bot-llm-started"], streamed("One. Two"), known("One.", false));
  tell(["bot-interrupted"], ["bot-llm-stopped"]);
  assert.deepEqual(marks(), ["cut short"]);
  assert.deepEqual(cut().filter(Boolean), []);
});

test("what an LLM wrote before it knew of the interruption stands with what was cut", () => {
  const { tell, words, marks } = telling();
  tell(["bot-llm-started"], streamed("One two "), ["bot-interrupted"]);
  tell(streamed("three."), known("One two three.", true));
  tell(["bot-llm-stopped"], ["bot-llm-started"], streamed("Four."));
  assert.deepEqual([words(), marks()], [["One two three.", "Four."], ["interrupted", undefined]]);
});

test("an answer whose voice failed is not marked by what is interrupted turns later", () => {
  const { marks, tell } = telling();
  tell(["bot-llm-started"], streamed("One two three."), known("One two three.", true), ["bot-llm-stopped"]);
  tell(["user-llm-text", { text: "Go on" }], ["bot-llm-started"], streamed("Four."), ["bot-interrupted"]);
  assert.equal(marks()[0], undefined);
});

test("a written answer that was whole is not marked by what is interrupted after it", () => {
  const { tell, marks } = telling();
  tell(["bot-llm-started"], streamed("One."), known("One.", false), ["bot-llm-stopped"]);
  tell(["bot-llm-started"], ["bot-interrupted"], ["bot-llm-stopped"]);
  assert.deepEqual(marks(), [undefined]);
});

test("an answer that another process starts again is marked as cut short, and an answer that was heard is not", () => {
  for (const restored of [true, false]) {
    const { tell, words, marks } = telling();
    tell(["bot-llm-started"], streamed("It is noon."), known("It is noon.", true, "a"), ["bot-llm-stopped"]);
    tell(heard("It is noon.", "a", "completed"), ["bot-stopped-speaking"]);
    tell(["bot-llm-started"], streamed("We open at ten."), known("We open at ten.", true, "b"));
    tell(["resumed", { about: { resume: restored ? { restored } : {} } }]);
    if (restored) tell(["bot-llm-started"], streamed("We open at ten."), known("We open at ten.", true, "c"));
    assert.deepEqual(words(), ["It is noon.", "We open at ten.", ...(restored ? ["We open at ten."] : [])]);
    assert.deepEqual(marks(), [undefined, restored ? "interrupted" : undefined, ...(restored ? [undefined] : [])]);
  }
});
