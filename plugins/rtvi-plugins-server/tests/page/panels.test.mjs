// What the panels show: actions, choices, and functions that the bot asks for.

import assert from "node:assert/strict";
import test from "node:test";

import { element, scrolledTo } from "./browser.mjs";

const page = "../../src/rtvi_plugins_server/page";
const { ActionsPanel } = await import(`${page}/actions.js`);
const { Choices } = await import(`${page}/choices.js`);
const { FunctionCalls } = await import(`${page}/functions.js`);

const told = () => new Promise(setImmediate);

// ---- actions

test("a bot without actions says so, and asks nobody to connect who is connected", async () => {
  const panel = element("div");
  const actions = new ActionsPanel(panel);
  assert.match(panel.textContent, /^Connect/);
  assert.equal(actions.has("bot", "ring"), false);
  await actions.open({ request: async () => ({ actions: [] }) });
  assert.match(panel.textContent, /no action/);
});

test("the answer of an action is brought in sight", async () => {
  const panel = element("div");
  const actions = new ActionsPanel(panel);
  const ring = { service: "bot", action: "ring", description: "", arguments: [] };
  await actions.open({ request: async () => ({ actions: [ring] }), action: async () => "ding" });
  panel.all("form")[0].does("submit");
  await told();
  const [answer] = panel.all("output");
  assert.match(answer.textContent, /ding/);
  assert.equal(scrolledTo(), answer);
});

// ---- choices

function choosing(switchProvider) {
  const panel = element("div");
  const choices = new Choices(panel, { switchProvider });
  choices.offer({ transports: ["websocket"], services: [{ name: "llm", providers: ["rules", "echo"] }] });
  choices.lock(true, true);
  const [select] = panel.all("select");
  const choose = (value) => ((select.value = value), select.does("change"));
  const config = (provider) => choices.took({ llm: { provider } }, { described: () => described });
  const described = { writable: true, schema: { enum: ["rules", "echo"] } };
  return { choices, select, choose, config };
}

test("who was chosen in a call that ends before the bot agrees is not chosen, and may be chosen again", async () => {
  let refuse;
  const { choices, select, choose } = choosing(() => new Promise((resolve) => (refuse = () => resolve(false))));
  choose("echo");
  assert.equal(select.disabled, true);
  choices.lock(false, false);
  refuse();
  await told();
  assert.deepEqual([select.value, select.disabled], ["rules", false]);
});

test("a choice shows who fills the service, also where something failed after the bot had switched", async () => {
  const { select, choose, config } = choosing(async () => (config("echo"), false));
  choose("echo");
  await told();
  assert.deepEqual([select.value, select.disabled], ["echo", false]);
});

test("a choice that is settled leaves the focus to whoever has it by now", async () => {
  const { choose } = choosing(async () => (text.focus(), true));
  const text = element("input");
  choose("echo");
  await told();
  assert.equal(document.activeElement, text);
});

// ---- functions

function asked(run) {
  const shown = element("div");
  const answers = [];
  const answer = (result) => answers.push(result);
  const functions = new FunctionCalls({ insert: (card) => shown.append(card), can: () => true, run, answer });
  functions.take("llm-function-call-in-progress", { tool_call_id: "1", function_name: "ring" });
  return { functions, shown, answers, press: () => shown.all("button")[0].does("click") };
}

test("a function that is clicked twice runs once", async () => {
  let runs = 0;
  const { press, answers, shown } = asked(async () => ++runs);
  press();
  press();
  await told();
  assert.deepEqual([runs, answers.map(({ result }) => result)], [1, [1]]);
  assert.match(shown.textContent, /Done\.$/);
});

test("a function that failed may be tried again", async () => {
  let runs = 0;
  const { press, answers, shown } = asked(async () => {
    if (++runs < 2) throw new Error("The bell is broken.");
    return runs;
  });
  press();
  await told();
  assert.match(shown.textContent, /The bell is broken\.$/);
  press();
  await told();
  assert.equal(answers.length, 1);
});

test("nobody is asked for anything once the call is over", async () => {
  let fail;
  const { functions, shown, press } = asked(() => new Promise((_, reject) => (fail = reject)));
  press();
  functions.clear();
  fail(new Error("The conversation has ended."));
  await told();
  assert.deepEqual(shown.all("button"), []);
  assert.match(shown.textContent, /The bot no longer waits for this call\.$/);
});
