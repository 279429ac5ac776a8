// The log: the messages of one sentence share a row, and are copied one by one, in the order in which they came.

import assert from "node:assert/strict";
import test from "node:test";

import { element } from "./browser.mjs";

const { Log } = await import("../../src/rtvi_plugins_server/page/log.js");

function logged(...messages) {
  const parts = Object.fromEntries(["list", "filter", "direction", "copy", "clear"].map((name) => [name, element("div")]));
  const status = element("p");
  const log = new Log({ ...parts, status });
  for (const [type, data] of messages) log.add("received", { type, data });
  const rows = () => parts.list.all("summary").map((each) => each.children.slice(2).map((one) => one.textContent));
  const copied = async () => {
    let text;
    navigator.clipboard = { writeText: async (given) => void (text = given) };
    parts.copy.does("click");
    await new Promise(setImmediate);
    return text.split("\n").map((line) => JSON.parse(line).message);
  };
  return { rows, copied, status };
}

const text = (words) => ["bot-llm-text", { text: words }];
const output = (segment_id, spoken_status) => ["bot-output", { text: `S${segment_id}.`, segment_id, spoken_status }];

test("the pieces of a sentence share a row, also when other messages come in between", () => {
  const { rows } = logged(["bot-llm-started"], text("Good "), ["metrics", { ttfb: [] }], text("day. "), text("Well?"));
  assert.deepEqual(rows(), [
    ["bot-llm-started", "", ""],
    ["bot-llm-text", "×2", "Good day. "],
    ["metrics", "", '{"ttfb":[]}'],
    ["bot-llm-text", "", "Well?"],
  ]);
});

test("a new answer has new rows, also when the former one was cut", () => {
  const { rows } = logged(text("Good "), ["bot-interrupted"], text("Well."));
  assert.deepEqual(rows().map(([type]) => type), ["bot-llm-text", "bot-interrupted", "bot-llm-text"]);
});

test("what becomes of a sentence is shown in its row", () => {
  const { rows } = logged(output(1, "new"), output(2, "new"), output(1, "in-progress"), output(1, "completed"));
  assert.deepEqual(rows(), [
    ["bot-output", "×3", "S1. · completed"],
    ["bot-output", "", "S2. · new"],
  ]);
});

test("messages are copied one by one, as they came", async () => {
  const { copied, status } = logged(output(1, "new"), output(2, "new"), output(1, "completed"));
  assert.deepEqual((await copied()).map(({ data }) => data.segment_id), [1, 2, 1]);
  assert.match(status.textContent, /^3 messages copied/);
});
