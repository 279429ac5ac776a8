// Where the bars of the latency plot stand.

import assert from "node:assert/strict";
import test from "node:test";

import { share } from "../../src/rtvi_plugins_server/page/levels.js";
import { layout, scaleOf, worded } from "../../src/rtvi_plugins_server/page/plot.js";

test("the parts of a turn stand side by side, and what is left of voice to voice after them", () => {
  const [row] = layout([{ number: 1, stt: 100, llm: 200, tts: 100, total: 1000 }], 600).rows;
  assert.deepEqual(
    row.parts.map(({ name, value }) => [name, value]),
    [
      ["stt", 100],
      ["llm", 200],
      ["tts", 100],
      ["rest", 600],
    ],
  );
  for (const [index, part] of row.parts.slice(1).entries()) {
    assert.ok(Math.abs(part.x - row.parts[index].x - row.parts[index].width) < 1e-9);
  }
});

test("parts that overlap, and so exceed voice to voice, leave no rest, and end with it", () => {
  const turns = [
    { number: 1, stt: 600, llm: 600, tts: 100, total: 1000 },
    { number: 2, total: 1000 },
  ];
  const [row, whole] = layout(turns, 600).rows;
  assert.deepEqual(
    row.parts.map(({ name, value }) => [name, value]),
    [
      ["stt", 600],
      ["llm", 400],
    ],
  );
  assert.equal(row.total, 1000);
  assert.ok(Math.abs(row.end - whole.end) < 1e-9);
});

test("a turn whose voice to voice is not known is as long as its parts", () => {
  assert.equal(layout([{ number: 1, llm: 300, tts: 100 }], 600).rows[0].total, 400);
});

test("everything stays within the width", () => {
  const { rows, ticks } = layout(
    [
      { number: 1, llm: 7 },
      { number: 2, llm: 1234, tts: 88 },
    ],
    300,
  );
  assert.ok(Math.max(...rows.map((row) => row.end), ...ticks.map((tick) => tick.x)) <= 300);
});

test("the axis ends at a round number, with two to six ticks", () => {
  for (const value of [1, 3, 7, 27, 99, 100, 101, 640, 1866, 12000]) {
    const { most, step } = scaleOf(value);
    assert.ok(most >= value && most < 2 * value + step, `${value}: ${most}`);
    assert.ok(most / step >= 1 && most / step <= 6, `${value}: ${most / step} steps`);
  }
});

test("times are told with the digits that matter", () => {
  assert.deepEqual([0.31, 27.4, 999.4, 1866, undefined].map(worded), ["0.3 ms", "27 ms", "999 ms", "1.87 s", "–"]);
});

test("a meter is in decibels: empty for silence, full at full scale, half at -30 dB", () => {
  assert.deepEqual([0, 0.0001, 1, 2].map(share), [0, 0, 1, 1]);
  assert.ok(Math.abs(share(10 ** (-30 / 20)) - 0.5) < 1e-9);
});
