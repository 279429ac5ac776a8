// The options panel: in which order it shows them, and what it says of what was changed and refused.

import assert from "node:assert/strict";
import test from "node:test";

import { element } from "./browser.mjs";

const page = "../../src/rtvi_plugins_server/page";
const { OptionsPanel } = await import(`${page}/options.js`);
const { Refused } = await import(`${page}/session.js`);

const option = (name, type, schema = {}) => ({ name, type, schema, required: false, writable: true });
const DESCRIBED = [
  {
    name: "llm",
    options: [
      option("messages", "array", { type: "array" }),
      option("name", "string", { type: "string" }),
      option("tools", "array", { type: "array" }),
      option("speed", "number", { type: "number", maximum: 9 }),
    ],
  },
  { name: "tts", options: [option("voice", "string", { type: "string" })] },
  { name: "vad", options: [option("params", "object", { type: "object" })] },
];
const VALUES = { llm: { messages: [], name: "", tools: [], speed: 1 }, tts: { voice: "en-us" }, vad: { params: {} } };
const config = Object.entries(VALUES).map(([service, values]) => ({
  service,
  options: Object.entries(values).map(([name, value]) => ({ name, value })),
}));

const VOICE = "The options of 'tts' could not be set; the old ones are still used. $.voice: unknown voice 'en-uk'.";

async function shown() {
  const panel = element("div");
  let answer = () => ({ config, revision: 2, applies: "now" });
  const answers = {
    "describe-config": () => ({ config: DESCRIBED }),
    "get-config": () => ({ config, revision: 1 }),
    "update-config": () => answer(),
  };
  const options = new OptionsPanel(panel, { onConfig() {}, start: () => ({ base: "", start: {} }) });
  await options.open({ request: async (t) => answers[t]() });
  const all = () => ["input", "textarea", "select"].flatMap((name) => panel.all(name));
  const field = (name) => all().find((each) => each.attributes.name === name);
  const button = (id) => panel.all("button").find((each) => each.attributes.id === id);
  const submit = async () => {
    panel.all("form")[0].does("submit");
    await new Promise(setImmediate);
  };
  const said = () => panel.all("p").find((each) => each.attributes.id === "options-status").textContent;
  const error = (name) => {
    const [, id] = field(name).attributes["aria-describedby"].split(" ");
    return panel.all("p").find((each) => each.attributes.id === id).textContent;
  };
  const write = (name, value) => ((field(name).value = value), field(name).does("input"));
  const refuse = (data) => {
    answer = () => {
      throw new Refused(data);
    };
  };
  const agree = () => (answer = () => ({ config, revision: 3, applies: "now" }));
  const labels = (one) => one.all("label").filter((each) => each.className === "label" || each.attributes.for === "interrupt");
  const names = (one) => labels(one).map((each) => each.textContent);
  return { panel, names, options, field, button, submit, said, error, write, refuse, agree };
}

test("short options stand before long ones, which are folded; services keep their order", async () => {
  const { panel, names } = await shown();
  assert.deepEqual(names(panel), ["Name", "Speed", "Messages", "Tools", "Voice", "Params", "Interrupt the bot"]);
  const [fold, ...others] = panel.all("details");
  assert.deepEqual([names(fold), others.length], [["Messages", "Tools"], 0]);
  assert.equal(fold.all("summary")[0].textContent, "Messages, Tools");
});

test("what a provider's own check refuses stands beside its field, without its path", async () => {
  const { field, submit, said, error, write, refuse } = await shown();
  write("voice", "en-uk");
  refuse({ error: VOICE });
  await submit();
  assert.equal(error("voice"), "Unknown voice 'en-uk'.");
  assert.equal(field("voice").attributes["aria-invalid"], "true");
  assert.match(said(), /^Nothing was changed/);
});

test("a folded option that is refused is unfolded", async () => {
  const { panel, submit, error, write, refuse } = await shown();
  write("tools", "[1]");
  refuse({ error: "…", details: [{ path: "$.data.d.config[0].options[0].value[0]", message: "llm.tools: no" }] });
  await submit();
  assert.equal(error("tools"), "No. (at [0])"); // the option has no form for its items
  assert.equal(panel.all("details")[0].open, true);
});

test("what belongs to no field is told below, without a path", async () => {
  const { submit, said, write, refuse } = await shown();
  write("voice", "en-uk");
  refuse({ error: "$.data.d: the bot is busy" });
  await submit();
  assert.equal(said(), "The bot is busy.");
});

const refused = async () => {
  const all = await shown();
  all.write("voice", "en-uk");
  all.refuse({ error: "The disk is full." });
  await all.submit();
  assert.equal(all.said(), "The disk is full.");
  return all;
};

test("another mistake is told in place of the former refusal", async () => {
  const { submit, said, error, write } = await refused();
  write("speed", "11");
  await submit();
  assert.equal(error("speed"), "Write at most 9.");
  assert.match(said(), /^Nothing was changed/);
});

test("undoing leaves nothing of a refusal, and nothing to undo", async () => {
  const { panel, button, field, said } = await refused();
  panel.all("form")[0].does("reset");
  assert.deepEqual([said(), field("voice").value], ["Revision 1.", "en-us"]);
  assert.deepEqual([button("undo").disabled, button("apply").disabled], [true, true]);
});

test("a provider that is switched leaves nothing of a refusal, whether the bot agrees or not", async () => {
  for (const agrees of [true, false]) {
    const { options, said, agree } = await refused();
    if (agrees) agree();
    const switched = options.update([{ service: "tts", name: "provider", value: "other" }]);
    await switched.catch((error) => assert.equal(error.message, "The disk is full."));
    assert.match(said(), /^Revision \d\./);
  }
});

test("there is something to undo only where something was changed", async () => {
  const { button, write } = await shown();
  assert.equal(button("undo").disabled, true);
  write("voice", "de");
  assert.equal(button("undo").disabled, false);
  write("voice", "en-us");
  assert.equal(button("undo").disabled, true);
});

test("before a call, what is changed is sent with the start, and survives a new description", async () => {
  const { options, field, write, said } = await shown();
  const preview = () => options.preview({ config: DESCRIBED }, { config });
  preview();
  assert.equal(said(), "Your changes apply when you connect.");
  assert.deepEqual(options.changes(), []);
  write("voice", "de");
  preview();
  assert.equal(field("voice").value, "de");
  assert.deepEqual(options.changes(), [{ service: "tts", name: "voice", value: "de" }]);
});

test("before a call, a wrong value has its error beside it, and nothing can be started", async () => {
  const { options, write, error } = await shown();
  options.preview({ config: DESCRIBED }, { config });
  write("speed", "11");
  assert.equal(options.changes(), null);
  assert.equal(error("speed"), "Write at most 9.");
});

test("a start that is refused because of an option shows that beside its field", async () => {
  const { options, write, error } = await shown();
  options.preview({ config: DESCRIBED }, { config });
  write("speed", "3");
  const details = [{ path: "$.config[0].options[0].value", message: "llm.speed: too fast" }];
  assert.equal(options.refused({ message: "", details }, options.changes()), true);
  assert.equal(error("speed"), "Too fast.");
});
