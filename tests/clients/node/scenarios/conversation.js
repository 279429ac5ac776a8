import assert from "node:assert/strict";

import { END, beginStory, messagesOf, say } from "./talk.js";

const QUESTION = { role: "user", content: "What is my name?" };

/** The last messages of the conversation as `role`, or `role!` where it was interrupted. */
const roles = (messages) => messages.map(({ role, interrupted }) => (interrupted ? `${role}!` : role));

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
    name: "what is added while the bot answers is answered after it, if nothing interrupts",
    async run(session) {
      const driver = await session.connected();
      await say(driver, "My name is Ada.", /Ada/);
      await beginStory(driver);
      await driver.action("llm", "append_to_messages", { messages: [QUESTION], run_immediately: true });
      assert.match(await driver.heard.says(/Your name is Ada/), END);
      await driver.heard.ends();
      assert.deepEqual(roles((await messagesOf(driver)).slice(-4)), ["user", "assistant", "user", "assistant"]);
    },
  },
  {
    name: "one request interrupts, adds a message and has it answered",
    async run(session) {
      const driver = await session.connected();
      await say(driver, "My name is Ada.", /Ada/);
      await beginStory(driver);
      const values = { messages: [QUESTION], run_immediately: true, interrupt: true };
      await driver.action("llm", "append_to_messages", values);
      assert.doesNotMatch(await driver.heard.says(/Your name is Ada/), END);
      await driver.heard.ends();
      assert.deepEqual(roles((await messagesOf(driver)).slice(-4)), ["user", "assistant!", "user", "assistant"]);
    },
  },
  {
    name: "a conversation that is replaced holds nothing of the answer that this interrupted",
    async run(session) {
      const driver = await session.connected();
      await beginStory(driver);
      const messages = [{ role: "user", content: "My name is Ada." }, QUESTION];
      await driver.action("llm", "set_context", { messages, interrupt: true, run_immediately: true });
      await driver.heard.says(/Your name is Ada/);
      await driver.heard.ends();
      assert.deepEqual(roles(await messagesOf(driver)), ["user", "user", "assistant"]);
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
