// Where problems belong, and how they are said.

import assert from "node:assert/strict";
import test from "node:test";

const page = "../../src/rtvi_plugins_server/page";
const schema = await import(`${page}/schema.js`);
const problems = await import(`${page}/problems.js`);

test("a problem's path leads to the option that was sent", () => {
  const config = schema.toConfig([
    { service: "llm", name: "a", value: 1 },
    { service: "tts", name: "b", value: 2 },
  ]);
  const optionAt = (path) => problems.optionAt({ path }, config);
  assert.deepEqual(optionAt("$.data.d.config[1].options[0].value"), { service: "tts", name: "b" });
  assert.deepEqual(optionAt("$.data.d.config[0].options[0].value[3].role"), {
    service: "llm",
    name: "a",
  });
  assert.equal(optionAt("$.data.d.config[7].options[0].value"), null);
  assert.equal(optionAt("$.data.d.interrupt"), null);
});

test("a problem leads to the argument by its path, or by its first word", () => {
  const names = ["nights", "name"];
  const argumentAt = (path, message) => problems.argumentAt({ path, message }, names);
  assert.equal(argumentAt("$.data.d.arguments.nights", "nights: expected"), "nights");
  assert.equal(argumentAt("$.data.d.arguments", "name: is required (string)"), "name");
  assert.equal(argumentAt("$.data.d", "no such thing: never"), null);
});

test("a problem beside its field is a sentence without the field's name", () => {
  const problem = { path: "$.data.d.arguments.nights", message: "nights: expected a whole number, got '2'" };
  assert.equal(problems.sentence(problem, "nights"), "Expected a whole number, got '2'.");
  const option = { path: "$.data.d.config[0].options[0].value", message: "tts.speed: must be <= 2: 3" };
  assert.equal(problems.sentence(option, "speed"), "Must be <= 2: 3.");
  const inside = { path: "$.data.d.config[0].options[0].value[2].role", message: "is required" };
  assert.equal(problems.sentence(inside, "messages"), "Is required.");
  assert.deepEqual(problems.placeOf(inside), [2, "role"]);
  assert.equal(
    problems.sentence({ path: "$", message: "unknown x", suggestion: "y" }, "x"),
    "Unknown x. Did you mean y?",
  );
});

const VOICE =
  "The options of 'tts' could not be set; the old ones are still used. " +
  "$.voice: unknown voice 'en-uk'; did you mean 'en-us'?";

test("what a provider's own check refuses is known by the sentence", () => {
  const [problem, ...others] = problems.problemsOf({ error: VOICE });
  assert.deepEqual(others, []);
  assert.deepEqual(problems.optionAt(problem, []), { service: "tts", name: "voice" });
  assert.equal(problems.sentence(problem, "voice"), "Unknown voice 'en-uk'; did you mean 'en-us'?");
});

test("several problems in a sentence are several", () => {
  const found = problems.problemsOf({ error: `${VOICE}; $.params.start_secs: must be >= 0: -1` });
  const texts = found.map((each) => problems.sentence(each, "voice"));
  assert.deepEqual(texts, ["Unknown voice 'en-uk'; did you mean 'en-us'?", "Must be >= 0: -1."]);
  assert.deepEqual(found.map(problems.placeOf), [[], ["start_secs"]]);
});

test("a path from the service on leads to the one that was named, or the only one that was sent such an option", () => {
  const sent = schema.toConfig([{ service: "voice", name: "speed", value: 1 }]);
  const details = [{ path: "$.speed", message: "speed: too fast" }];
  const at = (error, config) => problems.optionAt(problems.problemsOf({ error, details })[0], config);
  assert.deepEqual(at("", sent), { service: "voice", name: "speed" });
  assert.deepEqual(at(VOICE, sent), { service: "tts", name: "speed" });
  const both = [...sent, ...schema.toConfig([{ service: "tts", name: "speed", value: 1 }])];
  assert.equal(at("", both), null);
});

test("the place inside an argument is known, whatever its name", () => {
  const placeOf = (path) => problems.placeOf({ path });
  assert.deepEqual(placeOf("$.data.d.arguments.order.items[1].size"), ["items", 1, "size"]);
  assert.deepEqual(placeOf('$.data.d.arguments["my order"].a["b.c"][0]'), ["a", "b.c", 0]);
  assert.deepEqual(placeOf("$.data.d.arguments.order"), []);
  assert.deepEqual(placeOf("$.data.d"), []);
});

test("nothing is suggested twice", () => {
  const problem = { path: "$.voice", message: "unknown voice 'a'; did you mean 'b'?", suggestion: "b" };
  assert.equal(problems.sentence(problem, "voice"), "Unknown voice 'a'; did you mean 'b'?");
});

test("people are told no paths", () => {
  assert.equal(problems.plainly("$.data.d.config[0].options[1].value: tts.speed: too fast"), "Tts.speed: too fast.");
  assert.match(problems.plainly(VOICE), /still used\. Unknown voice/);
  assert.equal(problems.plainly("It costs $5: too much."), "It costs $5: too much.");
});
