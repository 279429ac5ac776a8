import assert from "node:assert/strict";

import { complainsAbout, refused, setting, valueOf } from "./expecting.js";

const TYPED = {
  text: "naïve — 日本語 🎈",
  flag: false,
  whole: 9007199254740991,
  ratio: 0.1,
  items: ["", "b"],
  record: { a: 1, b: -2 },
  size: "large",
};

/** An action's arguments that must be refused; the session still serves afterwards. */
const badArguments = (name, values, ...wrong) => ({
  name,
  async run(session) {
    const driver = await session.connected();
    complainsAbout(await refused(driver.action("bot", "typed", values), "invalid-arguments"), ...wrong);
    assert.equal(await driver.action("bot", "fast"), "fast");
  },
});

const without = ({ ...values }, name) => (delete values[name], values);

/** An action that fails in its own way; the answer has this code and the session still serves. */
const failing = (name, action, code) => ({
  name,
  async run(session) {
    const driver = await session.connected();
    const data = await refused(driver.action("bot", action), code);
    assert.doesNotMatch(JSON.stringify(data), /hunter2/, "the text of an exception reached the wire");
    assert.equal(await driver.action("bot", "fast"), "fast");
  },
});

/** A message that is refused before it is parsed; the answer comes under its id, and the session still serves. */
const unparsed = (name, text, code) => ({
  name,
  async run(session) {
    const driver = await session.connected();
    await refused(driver.action("bot", "typed", { ...TYPED, text }), code);
    assert.equal(await driver.action("bot", "fast"), "fast");
  },
});

const LONG = '{"id":"x"}'.repeat(6_700);

const nested = (depth) => (depth === 0 ? "id" : { id: [nested(depth - 1)] });

export const actions = [
  {
    name: "an action's result comes back",
    async run(session) {
      const driver = await session.connected();
      assert.equal(await driver.action("bot", "fast"), "fast");
    },
  },
  {
    name: "arguments and results of every RTVI type travel there and back unchanged",
    async run(session) {
      const driver = await session.connected();
      assert.deepEqual(await driver.action("bot", "typed", TYPED), TYPED);
    },
  },
  {
    name: "an argument that is left out takes its default",
    async run(session) {
      const driver = await session.connected();
      assert.equal((await driver.action("bot", "typed", without(TYPED, "size"))).size, "small");
    },
  },
  {
    name: "results that are false, zero, empty or null arrive as they are",
    async run(session) {
      const driver = await session.connected();
      const given = { false: false, zero: 0, text: "", array: [], object: {}, null: null };
      for (const [which, value] of Object.entries(given)) {
        assert.deepEqual(await driver.action("bot", `give_${which}`), value);
      }
    },
  },
  {
    name: "a bot's own action answers to its bare name",
    only: ({ generation }) => generation > 0,
    async run(session) {
      const driver = await session.connected();
      assert.deepEqual(await driver.request("typed", TYPED), TYPED);
      assert.equal(await driver.request("fast", {}), "fast");
      assert.equal(await driver.request("fast"), "fast");
    },
  },
  {
    name: "an action answers under the service name that it chose",
    async run(session) {
      const driver = await session.connected();
      assert.equal(await driver.action("context", "reset"), true);
      await refused(driver.action("bot", "reset"), "unknown-action");
    },
  },
  {
    name: "an action of the bot receives a service of the bot",
    async run(session) {
      const driver = await session.connected();
      assert.equal(await driver.action("bot", "ask_llm"), true);
    },
  },
  {
    name: "any JSON travels there and back in an action",
    async run(session) {
      const driver = await session.connected();
      for (const data of [null, false, 0, "", [], {}, [{ deep: [1, null] }], "naïve 🎈"]) {
        assert.deepEqual(await driver.action("bot", "keep", { data }), data);
      }
    },
  },
  {
    name: "a client message of the bot's own type is answered with the result",
    only: ({ generation }) => generation > 0,
    async run(session) {
      const driver = await session.connected();
      for (const data of [null, false, 0, "", [], {}, { deep: [1, null] }, [{ name: "data", value: 1 }]]) {
        assert.deepEqual(await driver.request("save everything", data), data);
      }
      assert.equal(await driver.request("save everything"), "nothing");
    },
  },
  {
    name: "a client message that waits for no answer is handled too",
    only: ({ generation }) => generation > 0,
    async run(session) {
      const driver = await session.connected();
      driver.client.sendClientMessage("save everything", { a: 1 });
      const kept = (items) => items.find(({ type }) => type === "kept");
      assert.deepEqual((await driver.pushed.until(kept, "the data of the message")).data, { a: 1 });
      assert.equal(await driver.action("bot", "fast"), "fast");
    },
  },
  {
    name: "an option of the bot itself is described, set and read",
    async run(session) {
      const driver = await session.connected();
      const call = (await driver.describeConfig()).find(({ name }) => name === "call");
      assert.deepEqual(call.options.map(({ name, type }) => [name, type]), [["volume", "number"]]);
      await driver.updateConfig(setting("call", { volume: 0.5 }));
      assert.equal(valueOf(await driver.getConfig(), "call", "volume"), 0.5);
      await refused(driver.updateConfig(setting("call", { volume: 3 })), "invalid-config");
    },
  },
  {
    name: "a request of an unknown type is refused",
    only: ({ generation }) => generation > 0,
    async run(session) {
      const driver = await session.connected();
      await refused(driver.request("nonsense", {}), "unknown-message");
    },
  },
  {
    name: "an unknown action is refused, with the nearest known one",
    async run(session) {
      const driver = await session.connected();
      const data = await refused(driver.action("bot", "fasst"), "unknown-action");
      assert.equal(data.details[0].suggestion, "fast");
    },
  },
  {
    name: "an action of an unknown service is refused",
    async run(session) {
      const driver = await session.connected();
      await refused(driver.action("bott", "fast"), "unknown-service");
    },
  },
  {
    name: "an action that is not granted is refused",
    async run(session) {
      const driver = await session.connected();
      await refused(driver.action("bot", "hidden"), "not-granted");
    },
  },
  badArguments("a wrong type is refused", { ...TYPED, whole: "3" }, "whole"),
  badArguments("a fraction is no whole number", { ...TYPED, whole: 3.5 }, "whole"),
  badArguments("true is no number", { ...TYPED, ratio: true }, "ratio"),
  badArguments("a word outside the choices is refused", { ...TYPED, size: "huge" }, "size"),
  badArguments("a missing argument is refused", without(TYPED, "text"), "text"),
  badArguments("an unknown argument is refused", { ...TYPED, txt: "" }, "txt"),
  badArguments(
    "every bad argument is complained about at once",
    { ...TYPED, text: 1, flag: "false", items: [1] },
    "text",
    "flag",
    "items",
  ),
  failing("an action that raises is answered, without its exception's text", "raising", "action-failed"),
  failing("a result that JSON cannot carry is answered with an error", "unserialisable", "invalid-result"),
  failing("a result of another type than declared is answered with an error", "misdeclared", "invalid-result"),
  failing("an action that refuses on purpose has its sentence told", "refusing", "request-failed"),
  unparsed("half an emoji is refused", "\u{1f388}".slice(0, 1), "invalid-message"),
  // The 1.x client does not send one.
  { ...unparsed("a message that is too long is refused", LONG, "message-too-large"), only: ({ generation }) => generation === 0 },
  unparsed("a message that nests too deep is refused", nested(40), "message-too-deep"),
  {
    // Published clients give up after ten seconds: 0.x in silence, 1.x with an error of its own that has no code.
    name: "an action that never returns is answered inside ten seconds",
    async run(session) {
      const driver = await session.connected();
      const asked = performance.now();
      const data = await refused(driver.action("bot", "never"), "action-timeout");
      assert.ok(performance.now() - asked < 10_000);
      assert.equal(data.retryable, false); // it may have taken effect
      assert.equal(await driver.action("bot", "fast"), "fast");
    },
  },
];
