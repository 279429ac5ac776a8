import assert from "node:assert/strict";

import { messagesOf, say } from "./talk.js";

export const conversation = [
  {
    name: "a typed message is answered",
    async run(session) {
      const driver = await session.connected();
      await say(driver, "My name is Ada.", /Ada/);
      await say(driver, "What is my name?", /Ada/);
    },
  },
  {
    name: "an answer begins, streams in pieces and ends",
    async run(session) {
      const driver = await session.connected();
      await say(driver, "My name is Ada.", /Ada/);
      assert.deepEqual(await driver.heard.order(), ["started", "text", "stopped"]);
    },
  },
  {
    name: "what was said is in the context, in order",
    async run(session) {
      const driver = await session.connected();
      const said = await say(driver, "My name is Ada.", /Ada/);
      const [asked, answered] = (await messagesOf(driver)).slice(-2);
      assert.deepEqual([asked.role, asked.content], ["user", "My name is Ada."]);
      assert.deepEqual([answered.role, answered.content.trim()], ["assistant", said]);
    },
  },
  {
    name: "a new client is told what the LLM was given and what the bot says",
    only: ({ generation }) => generation > 0,
    async run(session) {
      const driver = await session.connected();
      await say(driver, "My name is Ada.", /Ada/);
      const told = (type) => driver.pushed.until((all) => all.find((data) => data.type === type), type);
      assert.equal((await told("user-llm-text")).text, "My name is Ada.");
      const output = await told("bot-output");
      assert.match(output.text, /Ada/);
      assert.equal(output.aggregated_by, "sentence");
    },
  },
  {
    name: "two sessions do not hear each other",
    async run(session) {
      const [one, other] = await Promise.all([session.connected(), session.connected()]);
      await Promise.all([say(one, "My name is Ada.", /Ada/), say(other, "My name is Grace.", /Grace/)]);
      const answers = await Promise.all([
        say(one, "What is my name?", /Ada/),
        say(other, "What is my name?", /Grace/),
      ]);
      assert.doesNotMatch(answers[0], /Grace/);
      assert.doesNotMatch(answers[1], /Ada/);
    },
  },
];
