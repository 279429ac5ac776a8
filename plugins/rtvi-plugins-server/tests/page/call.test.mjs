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

/** A session, with what it has posted, and functions for the bot's messages. */
function talking() {
  fresh({});
  const posted = [];
  const session = new Session((text) => posted.push(JSON.parse(text)), { event() {}, seen() {} });
  const told = (type, id, data = {}) => session.receive(JSON.stringify({ label: "rtvi-ai", type, id, data }));
  /** Come back, and ask for the messages that the session names and that are not in `arrived`. */
  const comeBack = async (...arrived) => {
    const back = session.comeBack();
    told("bot-ready");
    await back;
    const { waiting } = posted.at(-1).data;
    for (const id of waiting) if (!arrived.includes(id)) told("error-response", id, { code: "not-received" });
    return waiting;
  };
  const contents = () => posted.map(({ type, data }) => data.content ?? data.t ?? type);
  return { session, posted, told, comeBack, contents };
}

test("what is typed while the connection is lost is sent when it is back", async () => {
  const { session, posted, comeBack, contents } = talking();
  session.lost();
  session.sendText("Are you there?");
  assert.deepEqual(posted, []);
  await comeBack();
  session.sendText("Good.");
  assert.deepEqual(contents(), ["client-ready", "Are you there?", "Good."]);
});

test("what is typed while the session introduces itself again is sent afterwards", async () => {
  const { session, told, contents } = talking();
  session.lost();
  const back = session.comeBack();
  session.sendText("Now?");
  assert.deepEqual(contents(), ["client-ready"]);
  told("bot-ready");
  await back;
  assert.deepEqual(contents(), ["client-ready", "Now?"]);
});

test("texts and requests that went into a lost connection are sent again in their order, and others are not", async () => {
  const { session, posted, comeBack, contents } = talking();
  for (const text of ["one", "two"]) session.sendText(text);
  const answer = session.request("three");
  session.sendText("four");
  session.lost();
  session.sendText("five");
  const before = posted.length;
  assert.equal((await comeBack(posted[0].id)).length, 5);
  assert.deepEqual(contents().slice(before), ["client-ready", "two", "three", "four", "five"]);
  session.end("over");
  await assert.rejects(answer);
});

test("a text that was refused is not sent again", async () => {
  const { session, posted, told, comeBack } = talking();
  session.sendText("one");
  told("error-response", posted[0].id, { code: "rate-limited" });
  session.lost();
  assert.deepEqual(await comeBack(), []);
});

test("a text that was sent before an answered request has arrived", async () => {
  const { session, posted, told, comeBack } = talking();
  session.sendText("one");
  const answer = session.request("two");
  session.sendText("three");
  told("server-response", posted[1].id, { t: "two", d: {} });
  await answer;
  session.lost();
  assert.deepEqual(await comeBack(), [posted[2].id]);
});
