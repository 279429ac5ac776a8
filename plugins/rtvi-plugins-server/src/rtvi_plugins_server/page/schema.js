// Read a JSON Schema as a tree of nodes, from which forms are built. A node has a `kind` and what its control needs.

import { merged } from "./narrow.js";

const LONG = 120; // characters from which a text gets several lines
const NAMES = { string: "text", integer: "whole number", number: "number", boolean: "yes or no", array: "list" };

/**
 * Return the node of a schema. Its `kind` is "switch", "choice", "number", "text", "none", "nullable", "union", "list",
 * "tuple", "object", "map", or "json" for everything that has no form of its own.
 */
export function nodeOf(described = {}) {
  const schema = merged(described);
  return { ...bare(schema), description: schema.description ?? "", label: labelOf(schema) };
}

function bare(schema) {
  const bounds = boundsOf(schema);
  if (bounds.choices) return { kind: "choice", choices: bounds.choices };
  if (schema.anyOf && !schema.type) return union(schema);
  switch (schema.type) {
    case "boolean":
      return { kind: "switch" };
    case "integer":
    case "number":
      return { kind: "number", whole: schema.type === "integer", ...bounds };
    case "string":
      return { kind: "text", ...bounds };
    case "null":
      return { kind: "none" };
    case "array":
      return { ...array(schema), ...bounds };
    case "object":
      return object(schema);
    default:
      return { kind: "json", type: "any" };
  }
}

function array(schema) {
  if (schema.prefixItems) return { kind: "tuple", items: schema.prefixItems.map(nodeOf) };
  return schema.items ? { kind: "list", item: nodeOf(schema.items) } : { kind: "json", type: "array" };
}

function object(schema) {
  if (schema.properties) {
    const required = schema.required ?? [];
    const fields = Object.entries(schema.properties).map(([name, each]) => {
      return { name, required: required.includes(name), node: nodeOf(each) };
    });
    return { kind: "object", fields };
  }
  const values = schema.additionalProperties;
  return values?.type || values?.anyOf || values?.enum
    ? { kind: "map", value: nodeOf(values) }
    : { kind: "json", type: "object" };
}

function union(schema) {
  const { anyOf, ...rest } = schema;
  const members = anyOf.filter((each) => each.type !== "null");
  const inner = members.length === 1 ? bare(merged({ ...rest, allOf: [members[0]] })) : oneOf(members, boundsOf(schema));
  if (members.length === anyOf.length) return inner;
  if (inner.kind === "switch") return { kind: "choice", choices: [null, true, false] };
  if (inner.kind === "choice") return { ...inner, choices: [null, ...inner.choices] };
  return { kind: "nullable", node: inner };
}

// `Literal["a", "b"] | str` is a text with suggestions.
function oneOf(members, bounds) {
  const suggestions = members.filter((each) => each.enum).flatMap((each) => each.enum);
  const texts = members.every((each) => each.type === "string" || each.enum);
  if (texts && suggestions.length && suggestions.every((each) => typeof each === "string")) {
    return { kind: "text", suggestions, ...bounds };
  }
  return { kind: "union", members: members.map(nodeOf) };
}

function labelOf({ title, type, enum: choices, anyOf }) {
  if (title) return title;
  if (choices) return `one of ${choices.map(worded).join(", ")}`;
  if (anyOf) return anyOf.map(labelOf).join(" or ");
  return NAMES[type] ?? type ?? "any value";
}

function boundsOf(schema) {
  const found = {
    choices: schema.enum,
    minimum: schema.minimum,
    above: schema.exclusiveMinimum,
    maximum: schema.maximum,
    below: schema.exclusiveMaximum,
    minLength: schema.minLength,
    maxLength: schema.maxLength,
    minItems: schema.minItems,
    maxItems: schema.maxItems,
  };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined));
}

/** Return a choice as people read it. */
export function worded(value) {
  return { null: "none", true: "yes", false: "no" }[String(value)] ?? String(value);
}

/** Describe the allowed values in a few words. The text may be empty. */
export function hint(node) {
  if (node.kind === "nullable") return hint(node.node);
  const words = [];
  if (node.whole) words.push("a whole number");
  if (node.minimum !== undefined) words.push(`at least ${node.minimum}`);
  if (node.above !== undefined) words.push(`more than ${node.above}`);
  if (node.maximum !== undefined) words.push(`at most ${node.maximum}`);
  if (node.below !== undefined) words.push(`less than ${node.below}`);
  if (node.minLength > 1) words.push(`at least ${node.minLength} characters`);
  if (node.maxLength !== undefined) words.push(`at most ${node.maxLength} characters`);
  if (node.kind === "list" && node.minItems > 0) words.push(`at least ${items(node.minItems)}`);
  if (node.kind === "list" && node.maxItems !== undefined) words.push(`at most ${items(node.maxItems)}`);
  if (node.kind === "json") words.push(node.type === "any" ? "JSON" : `JSON: an ${node.type}`);
  return words.join(", ");
}

/** Return a number of items in words. */
export function items(count) {
  return count === 1 ? "1 item" : `${count} items`;
}

/** Return whether a value has parts, each with a control of its own. */
export function isCompound({ kind, node }) {
  return kind === "nullable" ? isCompound(node) : ["list", "tuple", "object", "map", "union"].includes(kind);
}

/** Return whether a number gets a slider: it has two ends that it may reach. */
export function isSlider({ kind, minimum, maximum }) {
  return kind === "number" && minimum !== undefined && maximum !== undefined && minimum < maximum;
}

/** Return the step of a slider or a number field: fine enough for about a hundred positions. */
export function stepOf({ whole, minimum, maximum }) {
  if (whole) return 1;
  if (minimum === undefined || maximum === undefined) return "any";
  return 10 ** Math.floor(Math.log10((maximum - minimum) / 50));
}

/** Return whether a text needs several lines. */
export function isLong({ kind, maxLength }, value) {
  return kind === "text" && (maxLength > LONG || (typeof value === "string" && /\n|.{81}/.test(value)));
}

/** Return whether the form of a node can show a value. Bounds do not matter. */
export function fits(node, value) {
  switch (node.kind) {
    case "switch":
      return typeof value === "boolean";
    case "choice":
      return node.choices.includes(value);
    case "number":
      return typeof value === "number" && (!node.whole || Number.isInteger(value));
    case "text":
      return typeof value === "string";
    case "none":
      return value === null;
    case "nullable":
      return value === null || fits(node.node, value);
    case "union":
      return node.members.some((each) => fits(each, value));
    case "list":
      return Array.isArray(value) && value.every((each) => fits(node.item, each));
    case "tuple":
      return Array.isArray(value) && value.length === node.items.length && node.items.every((n, i) => fits(n, value[i]));
    case "object":
      return isObject(value) && fieldsFit(node.fields, value);
    case "map":
      return isObject(value) && Object.values(value).every((each) => fits(node.value, each));
    default:
      return node.type === "any" || (node.type === "array" ? Array.isArray(value) : isObject(value));
  }
}

function fieldsFit(fields, value) {
  const names = fields.map(({ name }) => name);
  const known = Object.keys(value).every((name) => names.includes(name));
  return known && fields.every(({ name, required, node }) => (name in value ? fits(node, value[name]) : !required));
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

// ---- text

/** Return the text in the control of a choice, number, text or JSON. */
export function show(node, value) {
  if (node.kind === "choice") return value === undefined ? "" : JSON.stringify(value);
  if (value === undefined || (value === null && node.kind !== "json")) return "";
  return node.kind === "json" ? JSON.stringify(value, null, 2) : String(value);
}

/** Return the entered `{value}`, `{empty: true}`, or a sentence as `{problem}`. */
export function read(node, raw) {
  if (raw === "" && node.kind !== "text") return { empty: true };
  return READERS[node.kind](node, raw);
}

const READERS = {
  choice: (node, raw) => ({ value: JSON.parse(raw) }),
  number: readNumber,
  text: readText,
  json: readJson,
};

function readNumber(node, raw) {
  const value = Number(raw);
  if (raw.trim() === "" || !Number.isFinite(value)) return { problem: "Write a number." };
  if (node.whole && !Number.isInteger(value)) return { problem: "Write a whole number." };
  // JavaScript rounds larger numbers.
  if (node.whole && !Number.isSafeInteger(value)) return { problem: `The largest number is ${Number.MAX_SAFE_INTEGER}.` };
  if (value < node.minimum) return { problem: `Write at least ${node.minimum}.` };
  if (value <= node.above) return { problem: `Write more than ${node.above}.` };
  if (value > node.maximum) return { problem: `Write at most ${node.maximum}.` };
  if (value >= node.below) return { problem: `Write less than ${node.below}.` };
  return { value };
}

function readText(node, raw) {
  const length = [...raw].length;
  if (raw === "" && node.minLength > 0) return { empty: true };
  if (length < node.minLength) return { problem: `Write at least ${node.minLength} characters.` };
  if (length > node.maxLength) return { problem: `Write at most ${node.maxLength} characters. You wrote ${length}.` };
  return { value: raw };
}

function readJson(node, raw) {
  let value;
  try {
    value = JSON.parse(raw);
  } catch (error) {
    return { problem: `This is not JSON: ${error.message.replace(/\.?$/, ".")}` };
  }
  if (node.type === "array" && !Array.isArray(value)) return { problem: "Write a JSON array, as in [1, 2]." };
  if (node.type === "object" && !isObject(value)) return { problem: 'Write a JSON object, as in {"a": 1}.' };
  return { value };
}

// ---- values

/** Return whether two JSON values are equal. The order of names does not matter. */
export function same(one, other) {
  return canonical(one) === canonical(other);
}

function canonical(value) {
  return JSON.stringify(value, (_, each) => {
    if (!isObject(each)) return each;
    return Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/** Return the config of an update from changes `{service, name, value}`, in the same order. */
export function toConfig(changes) {
  const services = new Map();
  for (const { service, name, value } of changes) {
    if (!services.has(service)) services.set(service, { service, options: [] });
    services.get(service).options.push({ name, value });
  }
  return [...services.values()];
}
