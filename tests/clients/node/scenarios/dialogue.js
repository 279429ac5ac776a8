// Twelve turns: a fact is recalled six turns later, a function is called, and the bot is interrupted.

import assert from "node:assert/strict";

import { END, beginStory, messagesOf, say } from "./talk.js";

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
      await say(driver, "Please book a room for three nights under the name Grace.", /17/); // 8: the room's number
      assert.deepEqual(booked, [{ nights: 3, name: "Grace" }]);
      await beginStory(driver); // 9
      await driver.interrupt("Stop. What is my favourite colour?"); // 10, typed into the middle of the story
      assert.doesNotMatch(await driver.heard.says(/teal/), END, "the story was not cut short");
      await driver.heard.ends();
      await say(driver, "What is my name?", /Ada/);
      await say(driver, "Goodbye.", /\w/); // 12

      const messages = await messagesOf(driver);
      assert.equal(messages.filter(({ role }) => role === "user").length, 12);
      const cut = messages.findIndex((message) => message.interrupted);
      assert.doesNotMatch(messages[cut].content, END);
      assert.match(messages[cut + 1].content, /^Stop/, "what interrupted stands after what it interrupted");
    },
  },
];
