import assert from "node:assert/strict";

const VERSION = /^\d+\.\d+\.\d+$/;

export const handshake = [
  {
    name: "connect resolves with what bot-ready carries",
    async run(session) {
      const driver = await session.connected();
      assert.match(driver.ready.version, VERSION);
      assert.equal(driver.client.state, "ready");
    },
  },
  {
    name: "bot-ready lists every service to a client of configs",
    only: ({ generation }) => generation === 0,
    async run(session) {
      const { ready } = await session.connected();
      assert.deepEqual(ready.config.map(({ service }) => service).sort(), ["call", "llm", "tts"]);
      for (const { options } of ready.config) assert.ok(Array.isArray(options));
    },
  },
  {
    name: "bot-ready carries no config to a client that knows none",
    only: ({ generation }) => generation > 0,
    async run(session) {
      const { ready } = await session.connected();
      assert.equal(ready.config, undefined);
    },
  },
  {
    name: "a request right behind client-ready is answered",
    only: ({ readyOn }) => readyOn === "client-ready",
    async run(session) {
      const driver = session.client();
      const connecting = driver.connect();
      await driver.states.until((states) => states.includes("ready"), "the transport to be ready");
      assert.equal(await driver.action("bot", "fast"), "fast");
      await connecting;
    },
  },
  {
    name: "starting and connecting can be two steps",
    only: ({ generation }) => generation > 0,
    async run(session) {
      const { client, start } = session.client();
      const bundle = await client.startBot(start);
      assert.deepEqual(Object.keys(bundle).sort(), ["token", "wsUrl"]);
      const ready = await client.connect(bundle);
      assert.match(ready.version, VERSION);
    },
  },
  {
    name: "a client that has disconnected connects again, to a new session",
    async run(session) {
      const driver = await session.connected();
      await driver.action("llm", "append_to_messages", { messages: [{ role: "user", content: "remember me" }] });
      await driver.disconnect();
      await driver.connect();
      const { messages } = await driver.action("llm", "get_context");
      assert.ok(!JSON.stringify(messages).includes("remember me"));
    },
  },
  {
    name: "the client chooses a provider at the start",
    async run(session) {
      const chosen = await session.connected({ services: { llm: "echo" } });
      const usual = await session.connected({ services: { llm: "rules" } });
      assert.equal((await chosen.action("bot", "chosen")).llm, "echo");
      assert.equal((await usual.action("bot", "chosen")).llm, "rules");
    },
  },
];
