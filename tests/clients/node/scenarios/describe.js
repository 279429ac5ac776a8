import assert from "node:assert/strict";

const argumentsOf = (action) => Object.fromEntries(action.arguments.map(({ name, type }) => [name, type]));

export const describe = [
  {
    name: "actions are described with their arguments, types and result",
    async run(session) {
      const driver = await session.connected();
      const actions = await driver.describeActions();
      const typed = actions.find(({ service, action }) => service === "bot" && action === "typed");
      assert.deepEqual(argumentsOf(typed), {
        text: "string",
        flag: "bool",
        whole: "number",
        ratio: "number",
        items: "array",
        record: "object",
        size: "string",
      });
      assert.equal(typed.result, "object");
      assert.equal(typed.arguments.find(({ name }) => name === "size").default, "small");
    },
  },
  {
    name: "the standard llm actions are described as the published helper calls them",
    async run(session) {
      const driver = await session.connected();
      const actions = await driver.describeActions();
      const declared = (wanted) =>
        argumentsOf(actions.find(({ service, action }) => service === "llm" && action === wanted));
      assert.equal(declared("append_to_messages").messages, "array");
      assert.equal(declared("append_to_messages").run_immediately, "bool");
      assert.equal(declared("set_context").messages, "array");
      assert.equal(declared("set_context").interrupt, "bool");
      assert.equal(declared("run").interrupt, "bool");
      assert.deepEqual(declared("get_context"), {});
    },
  },
  {
    name: "an action that is not granted is not described",
    async run(session) {
      const driver = await session.connected();
      const actions = await driver.describeActions();
      assert.ok(actions.every(({ action }) => action !== "hidden"));
    },
  },
  {
    name: "options are described with their types, under both names of the service",
    async run(session) {
      const driver = await session.connected();
      const services = await driver.describeConfig();
      const llm = services.find(({ name }) => name === "llm");
      assert.equal(llm.service, "llm");
      const types = Object.fromEntries(llm.options.map(({ name, type }) => [name, type]));
      assert.equal(types.run_on_config, "bool");
      assert.equal(types.tools, "array");
    },
  },
];
