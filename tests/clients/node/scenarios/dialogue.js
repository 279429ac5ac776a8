// Twelve turns: a fact is recalled six turns later, a function is called, and the bot is interrupted.

import assert from "node:assert/strict";

import { messagesOf, say } from "./talk.js";

/** How the story ends that the rules tell. */
const END = /end of the story/;

async function interrupted(driver) {
  driver.heard.clear();
  await driver.type("Tell me a story.");
  await driver.heard.says(/lighthouse/);
  // The next turn is typed into the middle of this answer.
  await driver.type("Stop. What is my favourite colour?");
  const said = await driver.heard.says(/teal/);
  assert.doesNotMatch(said, END, "the answer was not cut short");
  await driver.heard.ends();
}

export const dialogue = [
  {
    name: "twelve turns: a fact recalled from six turns earlier, a function called, an interruption",
    seconds: 60,
    async run(session) {
      const driver = await session.connected();
      const booked = [];
      driver.onFunctionCall("book_room", async (values) => {
        booked.push(values);
        return { room: 17 };
      });

      await say(driver, "My name is Ada.", /Ada/); // 1
      await say(driver, "Hello!", /\w/);
      await say(driver, "My favourite colour is teal.", /teal/);
      await say(driver, "Do you like it?", /\w/);
      await say(driver, "What is my favourite colour?", /teal/);
      await say(driver, "Thank you.", /\w/);
      await say(driver, "What is my name?", /Ada/); // 7: six turns later
      await say(driver, "Please book a room for three nights under the name Grace.", /17/); // 8: with the function's result
      assert.deepEqual(booked, [{ nights: 3, name: "Grace" }]);
      await interrupted(driver); // 9 and 10
      await say(driver, "What is my name?", /Ada/);
      await say(driver, "Goodbye.", /\w/); // 12

      const messages = await messagesOf(driver);
      assert.equal(messages.filter(({ role }) => role === "user").length, 12);
      const cut = messages.filter((message) => message.interrupted);
      assert.equal(cut.length, 1, "one answer is marked as interrupted");
      assert.doesNotMatch(cut[0].content, END);
    },
  },
];
