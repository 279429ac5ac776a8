// A start that is refused rejects `connect()`, with a sentence and the HTTP status.

import assert from "node:assert/strict";

import { setting } from "./expecting.js";

const refusedStart = (name, start, status, pattern, server = "open") => ({
  name,
  async run(session, addresses) {
    const driver = session.client(start, addresses[server]);
    const error = await driver.connect().then(() => assert.fail("the start was not refused"), (error) => error);
    assert.equal(error.status, status, `${error.status}: ${error.message}`);
    assert.match(error.message, pattern);
    assert.notEqual(driver.client.state, "ready");
  },
});

export const refusal = [
  refusedStart("a start with an unknown provider rejects connect", { services: { llm: "acme" } }, 400, /acme/),
  refusedStart(
    "a start with an unknown service rejects connect",
    { services: { llm: "rules", lllm: "rules" } },
    400,
    /lllm/,
  ),
  refusedStart("a start with a bad config rejects connect", { config: setting("llm", { tools: 1 }) }, 400, /array/),
  refusedStart(
    "a start with an option that is not granted rejects connect",
    { config: setting("llm", { initial_messages: [] }) },
    403,
    /initial_messages/,
  ),
  refusedStart("a client that sends keys is refused", { body: { api_keys: { acme: "x" } } }, 403, /api_keys/),
  refusedStart(
    "a client that sends service options is refused",
    { body: { service_options: { llm: { base_url: "http://127.0.0.1:1" } } } },
    403,
    /service_options/,
  ),
  refusedStart("a bot that is not public refuses a start without the secret", {}, 401, /secret/i, "closed"),
  refusedStart(
    "a bot that is not public refuses a start with a wrong secret",
    { headers: { "x-rtvi-operator-secret": "not-it" } },
    401,
    /secret/i,
    "closed",
  ),
  {
    name: "a start with the operator's secret is accepted",
    async run(session, addresses) {
      const headers = { "x-rtvi-operator-secret": addresses.secret };
      const driver = await session.connected({ headers }, addresses.closed);
      assert.ok(Array.isArray(await driver.getConfig()));
    },
  },
  {
    name: "after a refused start the same process serves the next",
    async run(session) {
      await session.client({ services: { llm: "acme" } }).connect().catch(() => undefined);
      const driver = await session.connected();
      assert.equal(await driver.action("bot", "fast"), "fast");
    },
  },
];
