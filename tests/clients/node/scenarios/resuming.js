import assert from "node:assert/strict";

import { setting, valueOf } from "./expecting.js";

const resumed = (session, token, server) => session.connected({ body: { resume: token } }, server);

export const resuming = [
  {
    name: "a session goes on in another process, by a start with the token of bot-ready",
    async run(session, { saving }) {
      const first = await session.connected(undefined, saving.one);
      await first.updateConfig(setting("llm", { name: "Ada" }));
      await first.action("llm", "append_to_messages", { messages: [{ role: "user", content: "remember me" }] });
      const { token, seconds } = first.ready.about.resume;
      assert.equal(seconds, 60);
      const again = await resumed(session, token, saving.two);
      assert.equal(valueOf(await again.getConfig(), "llm", "name"), "Ada");
      const { messages } = await again.action("llm", "get_context");
      assert.ok(JSON.stringify(messages).includes("remember me"));
      assert.notEqual(again.ready.about.resume.token, token);
    },
  },
  {
    name: "a session survives the kill of its process",
    only: ({ generation }) => generation > 0,
    async run(session, { saving }) {
      const first = await session.connected(undefined, saving.victim.url);
      await first.action("bot", "keep", { data: { room: 7 } });
      process.kill(saving.victim.pid, "SIGKILL");
      await first.states.until((states) => states.includes("disconnected"), "the client to notice");
      const again = await resumed(session, first.ready.about.resume.token, saving.two);
      assert.equal(await again.action("bot", "fast"), "fast");
    },
  },
  {
    name: "a token that was never given starts nothing",
    only: ({ generation }) => generation > 0,
    async run(session, { saving }) {
      await assert.rejects(session.connected({ body: { resume: "a.b" } }, saving.one));
    },
  },
];
