// When the microphone is heard.

import assert from "node:assert/strict";
import test from "node:test";

import { Talking } from "../../src/rtvi_plugins_server/page/talking.js";

function talking() {
  const listeners = {};
  globalThis.addEventListener = (type, listener) => (listeners[type] = listener);
  const told = [];
  const made = new Talking({ onChange: (heard) => told.push(heard) });
  made.active = true;
  const key = (type, { field = null, ...event } = {}) => {
    const pressed = { code: "Space", repeat: false, target: { closest: () => field }, prevented: false, ...event };
    pressed.preventDefault = () => (pressed.prevented = true);
    listeners[type](pressed);
    return pressed.prevented;
  };
  return { made, told, key, blur: () => listeners.blur() };
}

test("a microphone is heard until it is muted", () => {
  const { made, told } = talking();
  assert.equal(made.heard, true);
  made.mute(true);
  made.mute(false);
  assert.deepEqual(told, [false, true]);
});

test("with push-to-talk it is heard while the space bar is held", () => {
  const { made, told, key } = talking();
  made.push(true);
  assert.deepEqual([key("keydown"), key("keydown", { repeat: true }), key("keyup")], [true, true, true]);
  assert.deepEqual(told, [false, true, false]);
});

test("the space bar writes, ticks and chooses where there is a field", () => {
  const { made, told, key } = talking();
  made.push(true);
  assert.equal(key("keydown", { field: {} }), false);
  assert.deepEqual(told, [false]);
});

test("a window that loses the focus lets go", () => {
  const { made, key, blur } = talking();
  made.push(true);
  key("keydown");
  blur();
  assert.equal(made.heard, false);
});

test("whoever holds on when the microphone goes is not heard when there is one again", () => {
  const { made, key } = talking();
  made.push(true);
  key("keydown");
  made.active = false;
  key("keyup");
  made.active = true;
  assert.equal(made.heard, false);
});
