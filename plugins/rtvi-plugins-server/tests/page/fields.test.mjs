// How descriptions become controls, how what is entered is read, and where problems belong.

import assert from "node:assert/strict";
import test from "node:test";

import * as fields from "../../src/rtvi_plugins_server/page/fields.js";

const described = (type, schema, more = {}) => ({ name: "value", type, schema, required: false, ...more });
const kindOf = (type, schema) => fields.control(described(type, schema)).kind;
const read = (type, schema, raw, more) => fields.read(fields.control(described(type, schema, more)), raw);
const nullable = (schema) => ({ anyOf: [schema, { type: "null" }] });

test("each type has its control", () => {
  assert.equal(kindOf("bool", { type: "boolean" }), "switch");
  assert.equal(kindOf("number", { type: "integer" }), "number");
  assert.equal(kindOf("string", { type: "string" }), "text");
  assert.equal(kindOf("string", { enum: ["a", "b"] }), "choice");
  assert.equal(kindOf("array", { type: "array" }), "json");
  assert.equal(kindOf("object", { type: "object" }), "json");
});

test("a bool that may be none is a choice of three", () => {
  assert.deepEqual(fields.control(described("bool", nullable({ type: "boolean" }))).choices, [null, true, false]);
});

test("a text with known values suggests them, and takes others", () => {
  const made = fields.control(described("string", { anyOf: [{ enum: ["a", "b"] }, { type: "string" }] }));
  assert.deepEqual([made.kind, made.suggestions], ["text", ["a", "b"]]);
  assert.deepEqual(fields.read(made, "c"), { value: "c" });
});

test("what may be a number or a text is entered as JSON, which can tell them apart", () => {
  const schema = { anyOf: [{ type: "integer" }, { type: "string" }] };
  assert.deepEqual(read("number", schema, "1"), { value: 1 });
  assert.deepEqual(read("number", schema, '"1"'), { value: "1" });
});

test("empty means none where none will do", () => {
  assert.deepEqual(read("number", nullable({ type: "number" }), ""), { value: null });
  assert.deepEqual(read("array", nullable({ type: "array" }), ""), { value: null });
});

test("empty is left out where it need not be given, and a problem where it must", () => {
  assert.deepEqual(read("number", { type: "number" }, ""), { absent: true });
  assert.equal(read("number", { type: "number" }, "", { required: true }).problem, "This is required.");
});

test("a number keeps to its bounds, and where a grant narrows them, to both", () => {
  const schema = { type: "number", minimum: 0, maximum: 2, allOf: [{ maximum: 1 }] };
  assert.deepEqual(read("number", schema, "0.5"), { value: 0.5 });
  assert.equal(read("number", schema, "1.5").problem, "Write at most 1.");
  assert.equal(read("number", schema, "-1").problem, "Write at least 0.");
  assert.equal(read("number", { type: "number", exclusiveMinimum: 0 }, "0").problem, "Write more than 0.");
  assert.equal(read("number", { type: "number", exclusiveMaximum: 9 }, "9").problem, "Write less than 9.");
  assert.equal(read("number", { type: "integer" }, "1.5").problem, "Write a whole number.");
  assert.equal(read("number", { type: "number" }, "much").problem, "Write a number.");
});

test("a choice that a grant narrows offers what both lists have", () => {
  assert.deepEqual(fields.control(described("string", { enum: ["a", "b"], allOf: [{ enum: ["b", "c"] }] })).choices, [
    "b",
  ]);
});

test("a choice of numbers gives numbers", () => {
  const made = fields.control(described("number", { enum: [1, 2] }));
  assert.deepEqual(fields.read(made, fields.show(made, 2)), { value: 2 });
});

test("a text keeps to its length, counted in characters", () => {
  assert.deepEqual(read("string", { type: "string", maxLength: 2 }, "🛏🛏"), { value: "🛏🛏" });
  assert.match(read("string", { type: "string", maxLength: 2 }, "abc").problem, /at most 2 characters\. You wrote 3/);
  assert.match(read("string", { type: "string", minLength: 2 }, "a").problem, /at least 2/);
});

test("JSON is checked for being JSON, and of the right type", () => {
  assert.deepEqual(read("array", { type: "array" }, "[1, 2]"), { value: [1, 2] });
  assert.match(read("array", { type: "array" }, "{}").problem, /array/);
  assert.match(read("object", { type: "object" }, "[]").problem, /object/);
  assert.match(read("object", { type: "object" }, "null").problem, /object/);
  assert.match(read("object", { type: "object" }, "{").problem, /^This is not JSON: .*\.$/);
});

test("every value that is shown reads back as itself", () => {
  const cases = [
    ["bool", { type: "boolean" }, false],
    ["number", { type: "number" }, 0],
    ["string", { type: "string" }, "a\nb"],
    ["string", nullable({ enum: ["a"] }), null],
    ["array", nullable({ type: "array" }), null],
    ["object", { type: "object" }, { a: [1, null] }],
  ];
  for (const [type, schema, value] of cases) {
    const made = fields.control(described(type, schema));
    assert.deepEqual(fields.read(made, fields.show(made, value)), { value });
  }
});

test("the bounds are told in words", () => {
  const made = fields.control(described("number", { type: "integer", minimum: 1, maximum: 14 }));
  assert.equal(fields.hint(made), "a whole number, at least 1, at most 14");
});

test("objects are the same whatever the order of their names", () => {
  assert.ok(fields.same({ a: 1, b: [{ c: 2, d: 3 }] }, { b: [{ d: 3, c: 2 }], a: 1 }));
  assert.ok(!fields.same([1, 2], [2, 1]));
  assert.ok(!fields.same(null, undefined));
});

test("an update holds the changed options, service by service, in their order", () => {
  const changes = [
    { service: "llm", name: "temperature", value: 1 },
    { service: "tts", name: "voice", value: "en" },
    { service: "llm", name: "model", value: "m" },
  ];
  assert.deepEqual(fields.toConfig(changes), [
    {
      service: "llm",
      options: [
        { name: "temperature", value: 1 },
        { name: "model", value: "m" },
      ],
    },
    { service: "tts", options: [{ name: "voice", value: "en" }] },
  ]);
});
