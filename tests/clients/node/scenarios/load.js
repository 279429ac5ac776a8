import assert from "node:assert/strict";

export const load = [
  {
    name: "fifty requests at once each get their own answer",
    async run(session) {
      const driver = await session.connected();
      const numbers = Array.from({ length: 50 }, (_, i) => i);
      // The bot answers the last first, so that an answer by order instead of by id shows.
      const results = await Promise.all(numbers.map((number) => driver.action("bot", "number", { number })));
      assert.deepEqual(results, numbers);
    },
  },
  {
    name: "fifty requests of which every second is bad each get their own answer",
    async run(session) {
      const driver = await session.connected();
      const numbers = Array.from({ length: 50 }, (_, i) => i);
      const results = await Promise.allSettled(
        numbers.map((number) => driver.action("bot", "number", { number: number % 2 ? String(number) : number })),
      );
      for (const [number, { value, reason }] of results.entries()) {
        if (number % 2) assert.equal(reason.code, "invalid-arguments");
        else assert.equal(value, number);
      }
    },
  },
  {
    name: "six hundred requests at once are all answered, those that come too fast too",
    async run(session) {
      const driver = await session.connected();
      const asked = Array.from({ length: 600 }, () => driver.action("bot", "fast"));
      const results = await Promise.allSettled(asked);
      const codes = new Set(results.map(({ value, reason }) => value ?? reason.code));
      for (const code of codes) assert.ok(["fast", "busy", "rate-limited"].includes(code), String(code));
    },
  },
  {
    name: "a slow action does not hold up a fast one",
    async run(session) {
      const driver = await session.connected();
      const order = [];
      const slow = driver.action("bot", "slow", { seconds: 2 }).then(() => order.push("slow"));
      const fast = driver.action("bot", "fast").then(() => order.push("fast"));
      const config = driver.getConfig().then(() => order.push("config"));
      await Promise.all([slow, fast, config]);
      assert.equal(order.at(-1), "slow");
    },
  },
];
