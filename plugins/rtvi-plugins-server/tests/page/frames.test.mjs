// The frames of the WebSocket transport, against bytes that the published schema gives.

import assert from "node:assert/strict";
import test from "node:test";

import { decode, encodeAudio, encodeMessage } from "../../src/rtvi_plugins_server/page/frames.js";

const hex = (bytes) => Buffer.from(bytes).toString("hex");
const bytes = (text) => Uint8Array.from(Buffer.from(text, "hex"));

test("a message is field 4, its text field 1", () => {
  assert.equal(hex(encodeMessage("{}")), "22040a027b7d");
});

test("audio is field 2, with its name, samples, rate and channels", () => {
  assert.equal(hex(encodeAudio(bytes("01020304"))), "12121205617564696f1a040102030420807d2801");
});

test("a text that is not ASCII, and longer than one byte can count, comes back as it was", () => {
  const text = JSON.stringify({ text: "Zimmer für zwei Nächte 🛏".repeat(400) });
  assert.deepEqual(decode(encodeMessage(text)), { message: text });
});

test("audio comes back as it was", () => {
  const audio = Uint8Array.from({ length: 960 }, (_, index) => index % 256);
  assert.deepEqual(decode(encodeAudio(audio)), { audio });
});

test("fields that are not known are passed over", () => {
  // id = 300 (varint), an unknown 32-bit and an unknown 64-bit field, then the samples and the rate
  const inner = "08ac02" + "7d00000000" + "790000000000000000" + "1a020102" + "20c0bb01";
  assert.deepEqual(decode(bytes("1219" + inner)), { audio: bytes("0102") });
});

test("the forms that no client needs are nothing", () => {
  assert.equal(decode(bytes("0a021800")), null); // text
  assert.equal(decode(bytes("2a00")), null); // interruption
  assert.equal(decode(new Uint8Array()), null);
});

test("an empty message and empty audio are possible", () => {
  assert.deepEqual(decode(bytes("2200")), { message: "" });
  assert.deepEqual(decode(bytes("1200")), { audio: new Uint8Array() });
});

for (const [name, broken] of [
  ["ends before its text does", "22040a05"],
  ["ends within a number", "2280"],
  ["has a wire type that is none", "27"],
  ["holds a number for a message", "2001"],
  ["holds a number that never ends", "22" + "ff".repeat(12)],
  ["holds text that is not UTF-8", "22030a01ff"],
]) {
  test(`a frame that ${name} is refused`, () => {
    assert.throws(() => decode(bytes(broken)));
  });
}
