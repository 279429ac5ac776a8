// Whose turn it is, and how long its parts took, from the events of whole turns.

import assert from "node:assert/strict";
import test from "node:test";

import { Timings, TurnState } from "../../src/rtvi_plugins_server/page/turns.js";

function states(events, begin = "listening") {
  const seen = [];
  const state = new TurnState((now) => seen.push(now));
  state.now = begin;
  for (const [type, data] of events) state.take(type, data);
  return seen;
}

const SPOKEN = [
  ["user-started-speaking"],
  ["user-stopped-speaking"],
  ["user-transcription", { text: "Hello", final: true }],
  ["user-llm-text", { text: "Hello" }],
  ["bot-llm-started"],
  ["bot-llm-text", { text: "Good day." }],
  ["bot-output", { text: "Good day.", segment_id: 1, will_be_spoken: true, spoken_status: "new" }],
  ["bot-llm-stopped"],
  ["bot-started-speaking"],
  ["bot-stopped-speaking"],
];

test("a spoken turn goes from hearing to listening", () => {
  assert.deepEqual(states(SPOKEN), ["hearing", "thinking", "answering", "speaking", "listening"]);
});

test("a written turn ends when the answer does", () => {
  const events = [
    ["user-llm-text", { text: "Hello" }],
    ["bot-llm-started"],
    ["bot-llm-text", { text: "Good day." }],
    ["bot-output", { text: "Good day.", segment_id: 1, will_be_spoken: false, spoken_status: "new" }],
    ["bot-llm-stopped"],
  ];
  assert.deepEqual(states(events), ["thinking", "answering", "listening"]);
});

test("an answer of nothing but function calls ends the thinking too", () => {
  assert.deepEqual(states([["bot-llm-started"], ["bot-llm-stopped"]]), ["thinking", "listening"]);
});

test("who talks over the bot is heard until they stop", () => {
  const events = [["user-started-speaking"], ["bot-interrupted"], ["bot-llm-stopped"], ["bot-stopped-speaking"]];
  assert.deepEqual(states([...events, ["user-stopped-speaking"]], "speaking"), ["hearing", "thinking"]);
});

const ttfb = (processor, value) => ["metrics", { ttfb: [{ processor, value }] }];
const total = (value) => ["metrics", { voice_to_voice: [{ processor: "bot", value }] }];

test("a noise has no answer, and one word has", () => {
  const heard = ["user-transcription", { text: "Hi", final: true }];
  const empty = ["user-transcription", { text: "", final: true }];
  const speech = [["user-started-speaking"], ["user-stopped-speaking"]];
  assert.deepEqual(states([...speech, ttfb("stt", 0.2)]), ["hearing", "thinking", "listening"]);
  assert.deepEqual(states([...speech, empty, ttfb("stt", 0.2)]), ["hearing", "thinking", "listening"]);
  assert.deepEqual(states([...speech, heard, ttfb("stt", 0.2)]), ["hearing", "thinking"]);
  assert.deepEqual(states([["user-llm-text"], ttfb("stt", 0.2)]), ["thinking"]);
});

function measured(events, options) {
  const timings = new Timings(options);
  for (const [type, data] of events) timings.take(type, data);
  return timings.turns;
}

const TURN = [
  ["user-started-speaking"],
  ["user-stopped-speaking"],
  ttfb("stt", 0.25),
  ["user-llm-text"],
  ["bot-llm-started"],
  ["bot-tts-started"],
  total(1),
  ["bot-llm-stopped"],
  ttfb("llm", 0.5),
  ttfb("tts", 0.125),
];

test("the parts of a turn come together, whatever comes first", () => {
  assert.deepEqual(measured(TURN), [{ number: 1, stt: 250, total: 1000, llm: 500, tts: 125 }]);
});

test("each turn has a row of its own, and the oldest go", () => {
  assert.deepEqual(
    measured([...TURN, ...TURN, ...TURN], { most: 2 }).map((turn) => turn.number),
    [2, 3],
  );
});

test("of utterances that are merged into one turn, the recognition of the last counts", () => {
  const first = [["user-started-speaking"], ["user-stopped-speaking"]];
  const told = measured([...first, ttfb("stt", 4), ...TURN]);
  assert.deepEqual(told, [{ number: 1, stt: 250, total: 1000, llm: 500, tts: 125 }]);
  const late = measured([...first, ...TURN.slice(0, 2), ttfb("stt", 4), ...TURN.slice(2)]);
  assert.deepEqual(late, told);
  const unheard = measured([...first, ttfb("stt", 4), ...TURN.filter(([, data]) => data?.ttfb?.[0].processor !== "stt")]);
  assert.deepEqual(unheard, [{ number: 1, total: 1000, llm: 500, tts: 125 }]);
});

test("a service is known by its kind, whatever the bot calls it", () => {
  const [turn] = measured([["bot-tts-started"], ttfb("voice", 0.1)], { kinds: { voice: "tts" } });
  assert.deepEqual(turn, { number: 1, tts: 100 });
});

test("what an interrupted answer tells last is not the next turn's", () => {
  const events = [
    ...TURN,
    ["bot-llm-started"],
    ["user-started-speaking"],
    ["bot-interrupted"],
    ttfb("llm", 9),
    ...TURN.slice(1),
  ];
  assert.equal(measured(events).at(-1).llm, 500);
});

test("of several answers in one turn the first counts", () => {
  const events = [["user-llm-text"], ["bot-llm-started"], ttfb("llm", 0.5), ["bot-llm-started"], ttfb("llm", 0.25)];
  assert.deepEqual(measured(events), [{ number: 1, llm: 500 }]);
});

// ---- typed turns

function typing() {
  let now = 0;
  const timings = new Timings({ kinds: { llm: "llm" }, clock: () => now });
  const at = (time, type, data) => ((now = time), timings.take(type, data));
  const send = (time, text) => ((now = time), timings.typed(text));
  return { timings, at, send };
}

test("a typed turn lasts from sending to the first sound", () => {
  const { timings, at, send } = typing();
  send(1000, "Hello");
  at(1010, "user-llm-text", { text: "Hello" });
  at(1020, "bot-llm-started");
  at(1100, "bot-llm-text", { text: "Good " });
  at(1110, "metrics", { ttfb: [{ processor: "llm", value: 0.08 }] });
  at(1300, "bot-started-speaking");
  at(1310, "bot-llm-text", { text: "day." });
  assert.deepEqual(timings.turns, [{ number: 1, typed: true, total: 300, llm: 80 }]);
});

test("without speech, a typed turn lasts to the first text", () => {
  const { timings, at, send } = typing();
  send(1000, "Hello");
  at(1010, "user-llm-text", { text: "Hello" });
  at(1100, "bot-llm-text", { text: "Good " });
  at(1200, "bot-llm-text", { text: "day." });
  assert.deepEqual(timings.turns, [{ number: 1, typed: true, total: 100 }]);
});

test("a greeting is no answer to a text, and speech is not typed", () => {
  const { timings, at, send } = typing();
  at(0, "bot-llm-text", { text: "Welcome." });
  send(1000, "Hello");
  at(1001, "bot-started-speaking");
  assert.deepEqual(timings.turns, []);
  at(1010, "user-llm-text", { text: "Something that was said" });
  at(1100, "bot-started-speaking");
  assert.deepEqual(timings.turns, []);
});
