// Functions that the bot asks the client to run.

import assert from "node:assert/strict";

/** How long a bot waits for a client's function, in seconds; the default of the server. */
const PATIENCE = 30;

/** Waits for the end of a long action. */
const endOf = (driver, job, seconds) =>
  driver.pushed.until(
    (told) => told.find((data) => data?.job === job && !["progress"].includes(data.status)),
    `the end of job ${job}`,
    seconds,
  );

export const functions = [
  {
    name: "the bot calls a function of the client and is given its result",
    async run(session) {
      const driver = await session.connected();
      const asked = [];
      driver.onFunctionCall("weather", async (values) => {
        asked.push(values);
        return { degrees: 21, in: values.city };
      });
      const result = await driver.action("bot", "ask_client", { name: "weather", values: { city: "Zürich" } });
      assert.deepEqual(asked, [{ city: "Zürich" }]);
      assert.deepEqual(result, { result: { degrees: 21, in: "Zürich" } });
    },
  },
  {
    name: "a function's result may be any JSON value",
    async run(session) {
      const driver = await session.connected();
      for (const value of ["", 0, false, [], "text", [1, { a: null }]]) {
        driver.onFunctionCall("give", async () => value);
        assert.deepEqual(await driver.action("bot", "ask_client", { name: "give", values: {} }), { result: value });
      }
    },
  },
  {
    name: "several calls in flight are each given their own result",
    async run(session) {
      const driver = await session.connected();
      driver.onFunctionCall("double", async ({ number }) => {
        await new Promise((resolve) => setTimeout(resolve, 100 - 10 * number));
        return 2 * number;
      });
      const numbers = [0, 1, 2, 3, 4, 5, 6, 7];
      const ask = (number) => driver.action("bot", "ask_client", { name: "double", values: { number } });
      const results = await Promise.all(numbers.map(ask));
      assert.deepEqual(results, numbers.map((number) => ({ result: 2 * number })));
    },
  },
  {
    name: "a call that the client never answers is given up, and the session still serves",
    seconds: PATIENCE + 15,
    async run(session) {
      const driver = await session.connected();
      driver.onFunctionCall("ponder", () => new Promise(() => {}));
      const { job } = await driver.action("bot", "ask_client_patiently", { name: "ponder", values: {} });
      const end = await endOf(driver, job, PATIENCE + 10);
      assert.equal(end.status, "failed");
      assert.equal(end.code, "function-call-failed");
      assert.equal(await driver.action("bot", "fast"), "fast");
    },
  },
  {
    name: "a call that the client answers with undefined ends",
    seconds: PATIENCE + 15,
    async run(session) {
      const driver = await session.connected();
      driver.onFunctionCall("shrug", async () => undefined);
      const { job } = await driver.action("bot", "ask_client_patiently", { name: "shrug", values: {} });
      // 0.x sends a result without a value; 1.x sends nothing, and the bot has to give up.
      const end = await endOf(driver, job, PATIENCE + 10);
      assert.ok(["done", "failed"].includes(end.status));
      if (end.status === "done") assert.deepEqual(end.result, { result: null });
      assert.equal(await driver.action("bot", "fast"), "fast");
    },
  },
  {
    name: "a call is spelled so that the client runs its function once",
    async run(session) {
      const driver = await session.connected();
      let runs = 0;
      driver.onFunctionCall("count", async () => ++runs);
      await driver.action("bot", "ask_client", { name: "count", values: {} });
      await driver.action("bot", "fast"); // a second spelling would have arrived before this answer
      assert.equal(runs, 1);
    },
  },
];
