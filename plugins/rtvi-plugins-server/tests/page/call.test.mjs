// Calls: whenever one is hung up, nothing of it is left open.

import assert from "node:assert/strict";
import test from "node:test";

import { Microphone, fresh, pass, settle, step, stillOpen } from "./browser.mjs";

const { Call } = await import("../../src/rtvi_plugins_server/page/call.js");
const { Session } = await import("../../src/rtvi_plugins_server/page/session.js");

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
  const losses = { lost: tell("connection"), microphoneLost: tell("lost") };
  const call = new Call(transport, { ...on, ...losses, userLevel() {}, botLevel() {} });
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

const HEARTBEATS = {
  websocket: {
    asked: () => WebSocket.last.sent.filter((bytes) => bytes.length === 0).length,
    answer: () => WebSocket.last.onmessage({ data: new ArrayBuffer(0) }),
  },
  webrtc: {
    asked: () => RTCPeerConnection.last.sent.filter((text) => text.includes('"ping"')).length,
    answer: () => RTCPeerConnection.last.channel.onmessage({ data: '{"type":"signalling","message":{"type":"pong"}}' }),
  },
};

for (const [transport, { asked, answer }] of Object.entries(HEARTBEATS)) {
  async function connected(resume) {
    const { call, open, told } = calling(transport);
    const opening = open();
    await settle();
    call.session.receive(JSON.stringify({ label: "rtvi-ai", type: "bot-ready", data: { about: { resume } } }));
    await opening;
    return { call, losses: () => told.filter(([name]) => name === "connection").length };
  }

  for (const [name, resume] of [["saves", { token: "R", seconds: 60 }], ["does not save"]]) {
    const lost = resume ? "is lost" : "goes on";
    test(`a call by ${transport} whose server ${name} sessions, and falls silent, ${lost}`, async () => {
      const { call, losses } = await connected(resume);
      await pass(1000);
      assert.equal(asked(), 1);
      await pass(1000);
      assert.equal(losses(), 0);
      await pass(1000);
      assert.equal(losses(), resume ? 1 : 0);
      call.close();
      for (let each = 0; each < 3; each++) await settle(), await pass(1000); // the delay before it would come back
      assert.deepEqual(stillOpen(), []);
    });
  }

  test(`a call by ${transport} whose server answers heartbeats goes on`, async () => {
    const { call, losses } = await connected({ token: "R", seconds: 60 });
    for (let each = 0; each < 5; each++) await pass(1000), answer();
    assert.equal(asked(), 5);
    assert.equal(losses(), 0);
    call.close();
    assert.deepEqual(stillOpen(), []);
  });
}

test("what is typed while the connection is lost is sent when it is back", async () => {
  fresh({});
  const posted = [];
  const session = new Session((text) => posted.push(JSON.parse(text)), { event() {}, seen() {} });
  session.lost();
  session.sendText("Are you there?");
  assert.deepEqual(posted, []);
  const back = session.comeBack();
  session.receive(JSON.stringify({ label: "rtvi-ai", type: "bot-ready", data: {} }));
  await back;
  session.sendText("Good.");
  assert.deepEqual(posted.map(({ type, data }) => data.content ?? type), ["client-ready", "Are you there?", "Good."]);
});
