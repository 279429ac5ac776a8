// What the panels show: actions, choices, and functions that the bot asks for.

import assert from "node:assert/strict";
import test from "node:test";

import { element, scrolledTo } from "./browser.mjs";

const page = "../../src/rtvi_plugins_server/page";
const { ActionsPanel } = await import(`${page}/actions.js`);
const { Choices } = await import(`${page}/choices.js`);
const { FunctionCalls } = await import(`${page}/functions.js`);

const settled = () => new Promise(setImmediate);

// ---- actions

function panelOf(actions, session = {}) {
  const element_ = element("div");
  const start = () => ({ base: "http://page.test", start: {} });
  const panel = new ActionsPanel(element_, { connect: async () => session, start });
  panel.show({ actions });
  return { element: element_, panel };
}

const RING = { service: "bot", action: "ring_bell", description: "", arguments: [] };

test("a bot without actions says so", () => {
  const { element, panel } = panelOf([]);
  assert.equal(panel.has("bot", "ring"), false);
  assert.match(element.textContent, /no action/);
});

test("an action has a name for people, and its technical name", () => {
  const { element } = panelOf([RING]);
  assert.equal(element.all("summary")[0].textContent, "Ring bellbot:ring_bell");
});

test("the answer of an action is brought in sight", async () => {
  const { element } = panelOf([RING], { action: async () => "ding" });
  element.all("form")[0].does("submit");
  await settled();
  const [answer] = element.all("output");
  assert.match(answer.textContent, /ding/);
  assert.equal(scrolledTo(), answer);
});

test("an action that cannot connect says so", async () => {
  const { element } = panelOf([RING], null);
  element.all("form")[0].does("submit");
  await settled();
  assert.match(element.all("output")[0].textContent, /could not be reached/);
});

test("a problem inside an argument stands beside the innermost field", async () => {
  const items = { type: "array", items: { type: "object", properties: { size: { type: "string" } }, required: ["size"] } };
  const argument = { name: "items", type: "array", required: false, default: [{ size: "s" }, { size: "xl" }], schema: items };
  const refuse = async () => {
    const details = [{ path: "$.data.d.arguments.items[1].size", message: "items: unknown size 'xl'" }];
    throw Object.assign(new Error("no"), { details });
  };
  const { element } = panelOf([{ ...RING, arguments: [argument] }], { action: refuse });
  element.all("form")[0].does("submit");
  await settled();
  const wrong = element.all("textarea").filter((each) => each.attributes["aria-invalid"]);
  assert.deepEqual([wrong.length, wrong[0].value], [1, "xl"]);
});

// ---- choices

function choosing(switchProvider) {
  const panel = element("div");
  const choices = new Choices(panel, { switchProvider });
  choices.offer({ transports: ["websocket"] });
  choices.providers({ llm: { rules: [], echo: ["ECHO_API_KEY"] }, tts: { only: [] } });
  choices.lock(true, true);
  const [select] = panel.all("select");
  const choose = (value) => ((select.value = value), select.does("change"));
  const config = (provider) => choices.took({ llm: { provider } }, { described: () => described });
  const described = { writable: true, schema: { enum: ["rules", "echo"] } };
  return { panel, choices, select, choose, config };
}

test("a provider without its key is marked, and the key is named when it is chosen", () => {
  const { panel, choices, select, choose } = choosing();
  choices.lock(false, false);
  assert.deepEqual(select.all("option").map((each) => each.textContent), ["rules", "echo (no key)"]);
  assert.equal(panel.all("p")[0].textContent, "");
  choose("echo");
  assert.match(panel.all("p")[0].textContent, /^echo needs ECHO_API_KEY/);
});

test("a service with one provider has no choice, and the default need not be sent", () => {
  const { panel, choices, choose } = choosing();
  choices.lock(false, false);
  assert.equal(panel.all("select").length, 1);
  assert.deepEqual(choices.services, {});
  choose("echo");
  assert.deepEqual(choices.services, { llm: "echo" });
  assert.deepEqual(choices.forPrograms(), { base: "http://page.test", start: { services: { llm: "echo" } } });
});

test("who was chosen in a call that ends before the bot agrees is not chosen, and may be chosen again", async () => {
  let refuse;
  const { choices, select, choose } = choosing(() => new Promise((resolve) => (refuse = () => resolve(false))));
  choose("echo");
  assert.equal(select.disabled, true);
  choices.lock(false, false);
  refuse();
  await settled();
  assert.deepEqual([select.value, select.disabled], ["rules", false]);
});

test("a choice shows who fills the service, also where something failed after the bot had switched", async () => {
  const { select, choose, config } = choosing(async () => (config("echo"), false));
  choose("echo");
  await settled();
  assert.deepEqual([select.value, select.disabled], ["echo", false]);
});

test("a choice that is settled leaves the focus to whoever has it by now", async () => {
  const { choose } = choosing(async () => (text.focus(), true));
  const text = element("input");
  choose("echo");
  await settled();
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
  await settled();
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
  await settled();
  assert.match(shown.textContent, /The bell is broken\.$/);
  press();
  await settled();
  assert.equal(answers.length, 1);
});

test("nobody is asked for anything once the call is over", async () => {
  let fail;
  const { functions, shown, press } = asked(() => new Promise((_, reject) => (fail = reject)));
  press();
  functions.clear();
  fail(new Error("The conversation has ended."));
  await settled();
  assert.deepEqual(shown.all("button"), []);
  assert.match(shown.textContent, /The bot no longer waits for this call\.$/);
});
