// Programs are written so that any value survives the shell and each language. The browser tests run them.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import test from "node:test";

const page = "../../src/rtvi_plugins_server/page";
const { exampleOf, forAction, forOption, literal } = await import(`${page}/code.js`);
const { fits, nodeOf } = await import(`${page}/schema.js`);

const HARD = { "it's": ["\"", "\\", "$HOME", "`x`", "\n", "ü😀", true, null, 1.5, {}] };

test("a command keeps every character in the shell", () => {
  const { curl } = forAction({ service: "bot", action: "a", args: HARD, start: {}, base: "http://x" });
  const printed = curl.replace(/^curl/, "printf '%s\\n'");
  const lines = execFileSync("sh", ["-c", printed], { encoding: "utf8" }).split("\n");
  const sent = JSON.parse(lines[lines.indexOf("-d") + 1]);
  assert.deepEqual(sent.actions[0].data.arguments, HARD);
});

test("a value is written as Python reads it", () => {
  const program = `import json; print(json.dumps(${literal(HARD)}))`;
  assert.deepEqual(JSON.parse(execFileSync("python3", ["-c", program], { encoding: "utf8" })), HARD);
});

test("providers that were chosen are part of each program", () => {
  const start = { services: { llm: "openai" } };
  const programs = forOption({ service: "llm", name: "model", value: "m", start, base: "http://x" });
  assert.match(programs.curl, /"services":{"llm":"openai"}/);
  assert.match(programs.JavaScript, /"services": {\s*"llm": "openai"/);
  assert.match(programs.Python, /services={"llm": "openai"}/);
});

test("an example fits its schema", () => {
  const item = { type: "object", properties: { size: { enum: ["s"] }, note: { type: "string" } }, required: ["size"] };
  const schemas = [
    { type: "integer", minimum: 3 },
    { type: "number", exclusiveMinimum: 0 },
    { type: "number", maximum: -2 },
    { type: "string", minLength: 9 },
    { anyOf: [item, { type: "null" }] },
    { anyOf: [{ type: "integer" }, { type: "string" }] },
    { type: "array", items: item, minItems: 2 },
    { type: "array", prefixItems: [{ type: "integer" }, { type: "boolean" }] },
    { type: "object", additionalProperties: { type: "integer" } },
    { type: "null" },
    {},
  ];
  for (const schema of schemas) {
    const node = nodeOf(schema);
    const example = exampleOf(node);
    assert.ok(fits(node, example), JSON.stringify([schema, example]));
  }
});
