// Calls: whenever one is hung up, nothing of it is left open.

import assert from "node:assert/strict";
import test from "node:test";

import { Microphone, fresh, settle, step, stillOpen } from "./browser.mjs";

const { Call } = await import("../../src/rtvi_plugins_server/page/call.js");

const ANSWERS = {
  "/webrtc/start": { sessionId: "S", iceConfig: {} },
  "/start": { token: "T" },
  "/api/offer": { sdp: "", type: "answer", pc_id: "P" },
};
const TRANSPORTS = {
  websocket: ["the player", "the start", "the socket", "the bot"],
  webrtc: ["the start", "an offer", "its being set", "the answer", "its being set", "the channel", "the bot"],
};

function calling(transport, answers = ANSWERS) {
  fresh(answers);
  const told = [];
  const tell = (name) => (value) => told.push([name, value]);
  const on = { seen: (_, { type }) => told.push(["seen", type]), closed: tell("closed"), event() {} };
  const call = new Call(transport, { ...on, microphoneLost: tell("lost"), userLevel() {}, botLevel() {} });
  const opening = { outcome: "" };
  const open = () => call.open({}).then(String, String).then((outcome) => (opening.outcome = outcome));
  return { call, open, opening, told, sent: () => told.filter(([name]) => name === "seen").map(([, type]) => type) };
}

for (const [transport, awaited] of Object.entries(TRANSPORTS)) {
  for (const [done, name] of awaited.entries()) {
    test(`a call by ${transport} that is hung up while ${name} (${done}) is awaited leaves nothing open`, async () => {
      const { call, open, opening, sent } = calling(transport);
      open();
      await new Promise(setImmediate);
      for (let each = 0; each < done; each++) await step();
      const last = done === awaited.length - 1;
      assert.deepEqual(sent(), last ? ["client-ready"] : []);
      call.close();
      await new Promise(setImmediate);
      assert.equal(opening.outcome, "Error: The conversation has ended.");
      await settle();
      assert.deepEqual(stillOpen(), []);
      assert.deepEqual(sent(), last ? ["client-ready"] : []);
    });
  }

  test(`a call by ${transport} that the server does not start leaves nothing open`, async () => {
    const { call, open, opening } = calling(transport, {});
    open();
    await settle();
    assert.equal(opening.outcome, "Error: The server answered with status 404.");
    call.close();
    await settle();
    assert.deepEqual(stillOpen(), []);
  });

  test(`an answer to the start by ${transport} that is no JSON is told in a sentence`, async () => {
    const { call, open, opening } = calling(transport, { "/start": null });
    open();
    await settle();
    assert.equal(opening.outcome, "Error: The server's answer is not JSON.");
  });
}

test("a socket that the server does not take is told in a sentence", async () => {
  const { call, open, opening, told } = calling("websocket");
  open();
  await new Promise(setImmediate);
  await step();
  await step();
  WebSocket.last.close();
  await settle();
  assert.equal(opening.outcome, "Error: The server refused the connection. Try to connect again.");
  assert.deepEqual(told, []);
});

test("a server that goes away while the bot is awaited ends the call with a reason, once", async () => {
  const { call, open, opening, told } = calling("websocket");
  open();
  await settle();
  WebSocket.last.close();
  await settle();
  assert.deepEqual(told.slice(1), [["closed", { clean: false, lost: true, reason: "The connection was lost." }]]);
  assert.match(opening.outcome, /^Error: /);
  assert.deepEqual(stillOpen(), []);
});

test("a microphone that is allowed only after the call was hung up is closed", async () => {
  const { call } = calling("webrtc");
  const asked = call.openMicrophone();
  call.close();
  await settle();
  await asked;
  assert.equal(call.hasMicrophone, false);
  assert.deepEqual(stillOpen(), []);
});

test("a microphone that has gone is told of, closed, and may be asked for again", async () => {
  const { call, told } = calling("websocket");
  for (let each = 0; each < 2; each++) {
    const asked = call.openMicrophone();
    await settle();
    await asked;
    assert.equal(call.hasMicrophone, true);
    Microphone.last.onended();
    assert.equal(call.hasMicrophone, false);
    assert.equal(told.length, each + 1);
    assert.deepEqual(stillOpen(), []);
  }
});
