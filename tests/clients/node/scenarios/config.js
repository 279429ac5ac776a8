import assert from "node:assert/strict";

import { complainsAbout, refused, setting, valueOf } from "./expecting.js";
import { say } from "./talk.js";

/** Sends a config that must be refused with `code`, and shows that nothing changed. Returns the answer's data. */
async function refusedWhole(session, config, code) {
  const driver = await session.connected();
  const before = await driver.getConfig();
  const data = await refused(driver.updateConfig(config), code);
  assert.deepEqual(await driver.getConfig(), before);
  return data;
}

export const config = [
  {
    name: "get-config answers every service with its readable options",
    async run(session) {
      const driver = await session.connected();
      const config = await driver.getConfig();
      assert.deepEqual(config.map(({ service }) => service).sort(), ["call", "llm", "tts"]);
      assert.equal(valueOf(config, "llm", "run_on_config"), false);
    },
  },
  {
    name: "update-config changes an option and answers the whole config with a later revision",
    async run(session) {
      const driver = await session.connected();
      const first = await driver.updateConfig(setting("llm", { tools: [{ name: "wave" }] }), false);
      assert.deepEqual(valueOf(first.config, "llm", "tools"), [{ name: "wave" }]);
      assert.equal(valueOf(first.config, "llm", "run_on_config"), false);
      const second = await driver.updateConfig(setting("llm", { tools: [] }), true);
      assert.ok(second.revision > first.revision, `${second.revision} is not after ${first.revision}`);
      assert.equal(second.applies, "now");
      assert.deepEqual(valueOf(await driver.getConfig(), "llm", "tools"), []);
    },
  },
  {
    name: "the config of the start is in force",
    async run(session) {
      const driver = await session.connected({ config: setting("llm", { tools: [{ name: "wave" }] }) });
      assert.deepEqual(valueOf(await driver.getConfig(), "llm", "tools"), [{ name: "wave" }]);
    },
  },
  {
    name: "a change of config reaches the service",
    async run(session) {
      const driver = await session.connected();
      await driver.updateConfig(setting("llm", { name: "Hestia" }));
      await say(driver, "Who are you?", /Hestia/);
    },
  },
  {
    name: "a session's config is its own",
    async run(session) {
      const [one, other] = await Promise.all([session.connected(), session.connected()]);
      const before = await other.getConfig();
      await one.updateConfig(setting("llm", { tools: [{ name: "wave" }] }));
      assert.deepEqual(await other.getConfig(), before);
    },
  },
  {
    name: "an unknown service is refused and nothing changes",
    async run(session) {
      const data = await refusedWhole(session, setting("lllm", { tools: [] }), "unknown-service");
      assert.equal(data.details[0].suggestion, "llm");
    },
  },
  {
    name: "an unknown option is refused, with the nearest known one, and nothing changes",
    async run(session) {
      const data = await refusedWhole(session, setting("llm", { tool: [] }), "unknown-option");
      assert.equal(data.details[0].suggestion, "tools");
    },
  },
  {
    name: "a value of the wrong type is refused and nothing changes",
    async run(session) {
      const data = await refusedWhole(session, setting("llm", { tools: "none" }), "invalid-config");
      assert.match(data.details[0].message, /array/);
    },
  },
  {
    name: "an option that is not granted is refused and nothing changes",
    async run(session) {
      await refusedWhole(session, setting("llm", { initial_messages: [] }), "not-granted");
    },
  },
  {
    name: "an option that may only be read is refused and nothing changes",
    async run(session) {
      await refusedWhole(session, setting("llm", { run_on_config: true }), "not-granted");
    },
  },
  {
    name: "when only the last of several options is bad, nothing changes",
    async run(session) {
      const config = [...setting("llm", { tools: [{ name: "wave" }] }), ...setting("tts", { nonsense: 1 })];
      complainsAbout(await refusedWhole(session, config, "unknown-option"), "nonsense");
    },
  },
  {
    name: "every bad option of a config is complained about at once",
    async run(session) {
      const data = await refusedWhole(session, setting("llm", { tools: 1, nonsense: 2 }), "invalid-config");
      complainsAbout(data, "tools", "nonsense");
    },
  },
  {
    name: "a read-only value that is sent back unchanged is accepted",
    async run(session) {
      const driver = await session.connected();
      const whole = await driver.getConfig();
      assert.deepEqual((await driver.updateConfig(whole)).config, whole);
    },
  },
];
