// How schemas become forms, how what is entered is read, and how values are compared.

import assert from "node:assert/strict";
import test from "node:test";

import * as schemas from "../../src/rtvi_plugins_server/page/schema.js";

const { nodeOf } = schemas;
const kindOf = (schema) => nodeOf(schema).kind;
const read = (schema, raw) => schemas.read(nodeOf(schema), raw);
const nullable = (schema) => ({ anyOf: [schema, { type: "null" }] });

test("each type has its form", () => {
  assert.equal(kindOf({ type: "boolean" }), "switch");
  assert.equal(kindOf({ type: "integer" }), "number");
  assert.equal(kindOf({ type: "string" }), "text");
  assert.equal(kindOf({ type: "null" }), "none");
  assert.equal(kindOf({ enum: ["a", "b"] }), "choice");
  assert.equal(kindOf({ type: "array", items: { type: "string" } }), "list");
  assert.equal(kindOf({ type: "array", prefixItems: [{ type: "string" }] }), "tuple");
  assert.equal(kindOf({ type: "object", properties: { a: { type: "string" } } }), "object");
  assert.equal(kindOf({ type: "object", additionalProperties: { type: "integer" } }), "map");
  assert.equal(kindOf({ anyOf: [{ type: "integer" }, { type: "string" }] }), "union");
  assert.equal(kindOf(nullable({ type: "string" })), "nullable");
});

test("what has no form of its own is JSON", () => {
  for (const schema of [{}, { type: "array" }, { type: "object" }]) assert.equal(kindOf(schema), "json");
});

test("a bool that may be none is a choice of three", () => {
  assert.deepEqual(nodeOf(nullable({ type: "boolean" })).choices, [null, true, false]);
});

test("a choice that may be none has none as a choice", () => {
  assert.deepEqual(nodeOf(nullable({ enum: ["a"] })).choices, [null, "a"]);
});

test("a text with known values suggests them, and takes others", () => {
  const node = nodeOf({ anyOf: [{ enum: ["a", "b"] }, { type: "string" }] });
  assert.deepEqual([node.kind, node.suggestions], ["text", ["a", "b"]]);
  assert.deepEqual(schemas.read(node, "c"), { value: "c" });
});

test("the fields of an object know whether they are required", () => {
  const properties = { a: { type: "string" }, b: { type: "integer" } };
  const { fields } = nodeOf({ type: "object", properties, required: ["a"] });
  assert.deepEqual(
    fields.map(({ name, required, node }) => [name, required, node.kind]),
    [
      ["a", true, "text"],
      ["b", false, "number"],
    ],
  );
});

test("an empty control has no value, except for a text", () => {
  assert.deepEqual(read({ type: "number" }, ""), { empty: true });
  assert.deepEqual(read({ type: "array" }, ""), { empty: true });
  assert.deepEqual(read({ type: "string" }, ""), { value: "" });
  assert.deepEqual(read({ type: "string", minLength: 1 }, ""), { empty: true });
});

test("a number with two ends has a slider with fine steps", () => {
  const slider = (schema) => schemas.isSlider(nodeOf(schema));
  assert.equal(slider({ type: "number", minimum: 0, maximum: 2 }), true);
  assert.equal(slider({ type: "number", minimum: 0 }), false);
  assert.equal(slider({ type: "number", exclusiveMinimum: 0, maximum: 2 }), false);
  assert.equal(schemas.stepOf({ minimum: 0, maximum: 2 }), 0.01);
  assert.equal(schemas.stepOf({ minimum: 0, maximum: 5000 }), 100);
  assert.equal(schemas.stepOf({ whole: true, minimum: 0, maximum: 5000 }), 1);
});

test("a form fits the values that it can show", () => {
  const order = { type: "object", properties: { a: { type: "string" }, b: { type: "integer" } }, required: ["a"] };
  const cases = [
    [order, { a: "x" }, true],
    [order, { b: 1 }, false],
    [order, { a: "x", c: 1 }, false],
    [{ type: "array", items: order }, [{ a: "x", b: 2 }], true],
    [{ type: "array", items: order }, ["x"], false],
    [{ type: "array", prefixItems: [{ type: "integer" }, { type: "string" }] }, [1, "a"], true],
    [{ type: "array", prefixItems: [{ type: "integer" }, { type: "string" }] }, [1], false],
    [{ anyOf: [{ type: "integer" }, { type: "string" }] }, 1.5, false],
    [nullable(order), null, true],
    [{ type: "object", additionalProperties: { type: "integer" } }, { a: 1 }, true],
    [{ type: "object", additionalProperties: { type: "integer" } }, [], false],
    [{}, [1], true],
  ];
  for (const [schema, value, expected] of cases) {
    assert.equal(schemas.fits(nodeOf(schema), value), expected, JSON.stringify([schema, value]));
  }
});

test("a number keeps to its bounds, and where a grant narrows them, to both", () => {
  const schema = { type: "number", minimum: 0, maximum: 2, allOf: [{ maximum: 1 }] };
  assert.deepEqual(read(schema, "0.5"), { value: 0.5 });
  assert.equal(read(schema, "1.5").problem, "Write at most 1.");
  assert.equal(read(schema, "-1").problem, "Write at least 0.");
  assert.equal(read({ type: "number", exclusiveMinimum: 0 }, "0").problem, "Write more than 0.");
  assert.equal(read({ type: "number", exclusiveMaximum: 9 }, "9").problem, "Write less than 9.");
  assert.equal(read({ type: "integer" }, "1.5").problem, "Write a whole number.");
  assert.equal(read({ type: "number" }, "much").problem, "Write a number.");
  assert.match(read({ type: "integer" }, "12345678901234567890").problem, /largest number/);
});

test("a choice that a grant narrows offers what both lists have", () => {
  assert.deepEqual(nodeOf({ enum: ["a", "b"], allOf: [{ enum: ["b", "c"] }] }).choices, ["b"]);
});

test("a grant narrows the parts of objects and arrays too", () => {
  const role = { enum: ["system", "user"] };
  const content = { anyOf: [{ type: "string" }, { type: "array" }, { type: "null" }] };
  const properties = { role, content, name: { type: "string" } };
  const items = { type: "object", properties, required: ["role"] };
  const narrower = {
    properties: { role: { enum: ["user"] }, content: { anyOf: [{ type: "string" }, { type: "array" }] }, name: false },
  };
  const { item } = nodeOf({ type: "array", items, allOf: [{ items: narrower, maxItems: 3 }] });
  assert.deepEqual(
    item.fields.map(({ name, required, node }) => [name, required, node.kind]),
    [
      ["role", true, "choice"],
      ["content", false, "union"],
    ],
  );
  assert.deepEqual(item.fields[0].node.choices, ["user"]);
});

test("one allowed value is a choice", () => {
  assert.deepEqual(nodeOf({ const: "text" }).choices, ["text"]);
});

test("a choice of numbers gives numbers", () => {
  const node = nodeOf({ enum: [1, 2] });
  assert.deepEqual(schemas.read(node, schemas.show(node, 2)), { value: 2 });
});

test("a text keeps to its length, counted in characters", () => {
  assert.deepEqual(read({ type: "string", maxLength: 2 }, "🛏🛏"), { value: "🛏🛏" });
  assert.match(read({ type: "string", maxLength: 2 }, "abc").problem, /at most 2 characters\. You wrote 3/);
  assert.match(read({ type: "string", minLength: 2 }, "a").problem, /at least 2/);
});

test("JSON is checked for being JSON, and of the right type", () => {
  assert.deepEqual(read({ type: "array" }, "[1, 2]"), { value: [1, 2] });
  assert.match(read({ type: "array" }, "{}").problem, /array/);
  assert.match(read({ type: "object" }, "[]").problem, /object/);
  assert.match(read({ type: "object" }, "null").problem, /object/);
  assert.match(read({ type: "object" }, "{").problem, /^This is not JSON: .*\.$/);
});

test("every value that is shown reads back as itself", () => {
  const cases = [
    [{ type: "number" }, 0],
    [{ type: "string" }, "a\nb"],
    [nullable({ enum: ["a"] }), null],
    [{ type: "object" }, { a: [1, null] }],
    [{}, null],
  ];
  for (const [schema, value] of cases) {
    const node = nodeOf(schema);
    assert.deepEqual(schemas.read(node, schemas.show(node, value)), { value });
  }
});

test("the bounds are given in words", () => {
  assert.equal(
    schemas.hint(nodeOf({ type: "integer", minimum: 1, maximum: 14 })),
    "a whole number, at least 1, at most 14",
  );
});

test("objects are the same whatever the order of their names", () => {
  assert.ok(schemas.same({ a: 1, b: [{ c: 2, d: 3 }] }, { b: [{ d: 3, c: 2 }], a: 1 }));
  assert.ok(!schemas.same([1, 2], [2, 1]));
  assert.ok(!schemas.same(null, undefined));
});

test("an update holds the changed options, service by service, in their order", () => {
  const changes = [
    { service: "llm", name: "temperature", value: 1 },
    { service: "tts", name: "voice", value: "en" },
    { service: "llm", name: "model", value: "m" },
  ];
  assert.deepEqual(schemas.toConfig(changes), [
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
