// `client.action()` of a client that is not connected: one HTTP request, which 0.2 to 0.4 send.

import assert from "node:assert/strict";

import { refused } from "./expecting.js";

const only = ({ singleTurn }) => singleTurn === true;

const failing = (name, call, code, start, server = "open") => ({
  name,
  only,
  async run(session, addresses) {
    const data = await refused(session.client(start, addresses[server]).action(...call), code);
    assert.doesNotMatch(JSON.stringify(data), /hunter2/, "the text of an exception reached the wire");
  },
});

export const singleTurn = [
  {
    name: "an action of a client that is not connected is answered",
    only,
    async run(session) {
      const driver = session.client();
      assert.equal(await driver.action("bot", "fast"), "fast");
      assert.equal(driver.client.state, "disconnected");
    },
  },
  {
    name: "an action of a client that is not connected streams what the bot says",
    only,
    async run(session) {
      const driver = session.client({ services: { llm: "echo" } });
      const messages = [{ role: "user", content: "naïve 日本語 🎈" }];
      assert.equal(await driver.action("llm", "append_to_messages", { messages, run_immediately: true }), true);
      assert.equal(await driver.heard.ends(0.1), "naïve 日本語 🎈");
    },
  },
  {
    name: "a long action of a client that is not connected is followed to its end",
    only,
    async run(session) {
      const driver = session.client();
      const { job } = await driver.action("bot", "ask_client_patiently", { name: "nobody", values: {} });
      const told = await driver.pushed.until((items) => items.find((item) => item.job === job), "the end of a job", 0.1);
      assert.equal(told.status, "failed");
    },
  },
  {
    name: "what a client that is not connected sends besides chooses provider and config",
    only,
    async run(session) {
      const driver = session.client({ services: { llm: "echo" } });
      assert.equal((await driver.action("bot", "chosen")).llm, "echo");
    },
  },
  {
    name: "a client that was connected calls an action after it has disconnected",
    only,
    async run(session) {
      const driver = await session.connected();
      await driver.disconnect();
      assert.equal(await driver.action("bot", "fast"), "fast");
    },
  },
  failing("an action of a client that is not connected fails with its reason", ["bot", "raising"], "action-failed"),
  failing("an unknown action of a client that is not connected is refused", ["bot", "fasst"], "unknown-action"),
  failing("a client that is not connected may not choose an unknown provider", ["bot", "fast"], "unknown-provider", {
    services: { llm: "acme" },
  }),
  {
    name: "a bot that is not public runs no action of a client that is not connected",
    only,
    async run(session, addresses) {
      const stranger = session.client({}, addresses.closed);
      const error = await stranger.action("llm", "get_context").then(() => assert.fail("was answered"), (reason) => reason);
      assert.equal(error.name, "Refused"); // the published client shows no reason of an answer that is not 2xx
      const headers = { "x-rtvi-operator-secret": addresses.secret };
      const operator = session.client({ headers }, addresses.closed);
      assert.ok(Array.isArray((await operator.action("llm", "get_context")).messages));
    },
  },
];
