// The plot of latencies: one bar for each turn, its parts side by side.

import { draw, make } from "./elements.js";

const NAMES = { stt: "hearing (stt)", llm: "thinking (llm)", tts: "speaking (tts)", rest: "waiting, and the rest" };
const ROW = 26;
const BAR = 14;
const LEFT = 62;
const RIGHT = 64;
const TOP = 8;
const AXIS = 22;

/**
 * Return the layout of a plot of `width`: `rows` with `{number, y, parts: [{name, x, width, value}], total}`, the
 * `ticks` of the axis, and the `height`. `rest` is the part of voice to voice that is not in any other part.
 */
export function layout(turns, width) {
  const rows = turns.map((turn) => ({ turn, parts: partsOf(turn), total: totalOf(turn) }));
  const { most, step } = scaleOf(Math.max(1, ...rows.map((row) => row.total)));
  const unit = Math.max(1, width - LEFT - RIGHT) / most;
  const placed = rows.map(({ turn, parts, total }, index) => {
    let x = LEFT;
    const bars = parts.map(({ name, value }) => {
      const bar = { name, value, x, width: value * unit };
      x += bar.width;
      return bar;
    });
    return { number: turn.number, typed: Boolean(turn.typed), y: TOP + index * ROW, parts: bars, end: x, total, measured: turn.total !== undefined };
  });
  const ticks = Array.from({ length: Math.round(most / step) + 1 }, (_, n) => ({
    value: n * step,
    x: LEFT + n * step * unit,
  }));
  return { rows: placed, ticks, height: TOP + rows.length * ROW + AXIS };
}

// Parts overlap: the voice may start before the LLM ends, and the recogniser may work on an earlier utterance while the
// user speaks. Time beyond voice to voice is not drawn.
function partsOf(turn) {
  let left = turn.total ?? Infinity;
  const parts = [];
  for (const name of ["stt", "llm", "tts"]) {
    const value = Math.min(turn[name] ?? 0, left);
    left -= value;
    if (turn[name] !== undefined && (value > 0 || turn[name] === 0)) parts.push({ name, value });
  }
  return turn.total !== undefined && left > 0 ? [...parts, { name: "rest", value: left }] : parts;
}

function totalOf(turn) {
  return turn.total ?? partsOf(turn).reduce((total, { value }) => total + value, 0);
}

/** Return a round end of the axis, at least `value`, and the step between its two to five ticks. */
export function scaleOf(value) {
  const magnitude = 10 ** Math.floor(Math.log10(value));
  const step = [0.2, 0.5, 1, 2, 5].map((factor) => factor * magnitude).find((each) => value / each <= 5);
  return { most: Math.ceil(value / step - 1e-9) * step, step };
}

/** Format a time in ms for people. */
export function worded(value) {
  if (value === undefined) return "–";
  if (value >= 1000) return `${(value / 1000).toFixed(2)} s`;
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}

/** Draw the turns into an element, newest last, with the same numbers as a table. */
export function plot(element, turns) {
  if (!turns.length) {
    element.replaceChildren(
      make("p", { class: "empty" }, "The latency of each turn appears here, with its parts."),
    );
    return;
  }
  const width = Math.max(260, element.clientWidth);
  const { rows, ticks, height } = layout(turns, width);
  const picture = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": summary(turns) });
  const bottom = height - AXIS;
  for (const { value, x } of ticks) {
    picture.append(draw("line", { class: "tick", x1: x, x2: x, y1: 0, y2: bottom }));
    picture.append(draw("text", { class: "tick-label", x, y: bottom + 16, "text-anchor": "middle" }, tickLabel(value)));
  }
  for (const row of rows) picture.append(...bars(row));
  const about = "The total is the time from your last word, or from sending a typed text, to the bot's first sound.";
  element.replaceChildren(legend(turns), picture, make("p", { class: "hint" }, about), table(turns));
}

function tickLabel(value) {
  return value >= 1000 || value === 0 ? `${+(value / 1000).toFixed(2)} s` : `${+value.toPrecision(3)} ms`;
}

function bars({ number, typed, y, parts, end, total, measured }) {
  const middle = y + BAR / 2 + 4;
  const drawn = parts.map(({ name, x, width, value }) => {
    const title = draw("title", {}, `${NAMES[name]}: ${worded(value)}`);
    return draw("rect", { class: `part ${name}`, x, y, width: Math.max(1.5, width - 1), height: BAR, rx: 2 }, title);
  });
  return [
    draw("text", { class: "row-label", x: LEFT - 8, y: middle, "text-anchor": "end" }, nameOf({ number, typed })),
    ...drawn,
    draw("text", { class: measured ? "total" : "total partial", x: end + 6, y: middle }, worded(total)),
  ];
}

function nameOf({ number, typed }) {
  return typed ? `${number} typed` : String(number);
}

function legend(turns) {
  const names = Object.keys(NAMES).filter((name) =>
    turns.some((turn) => partsOf(turn).some((part) => part.name === name)),
  );
  const items = names.map((name) =>
    make("li", {}, make("span", { class: `swatch ${name}`, "aria-hidden": true }), NAMES[name]),
  );
  return make("ul", { class: "legend" }, ...items);
}

function summary(turns) {
  const last = turns.at(-1);
  const newest = `the newest took ${worded(totalOf(last))}`;
  return `Latency of the last ${turns.length} turns; ${newest}. The table below has the numbers.`;
}

function table(turns) {
  const columns = ["stt", "llm", "tts", "total"];
  const heads = ["turn", "stt", "llm", "tts", "total"].map((name) => make("th", { scope: "col" }, name));
  const rows = turns.map((turn) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, nameOf(turn)),
      ...columns.map((name) => make("td", {}, worded(turn[name]))),
    ),
  );
  const body = make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows));
  return make("details", { class: "numbers" }, make("summary", {}, "The numbers"), body);
}
