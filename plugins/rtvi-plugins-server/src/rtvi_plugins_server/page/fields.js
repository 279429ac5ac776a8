// Form controls for options and arguments: the kind of control, how to read its text, and what has changed.

const LONG = 120; // characters from which a text gets several lines

/**
 * Return the control for a description `{name, type, schema, default, …}`. Its `kind` is "switch", "choice",
 * "number", "text" or "json". It also has `choices` or `suggestions`, `nullable` and the bounds.
 */
export function control(described) {
  const { schema, nullable } = withoutNull(described.schema ?? {});
  const bounds = boundsOf(schema);
  const found = { name: described.name, nullable, required: Boolean(described.required), ...bounds };
  if (bounds.choices)
    return { ...found, kind: "choice", choices: nullable ? [null, ...bounds.choices] : bounds.choices };
  if (schema.anyOf) return mixed(schema.anyOf, found);
  return { ...found, ...plain(described.type, schema, nullable) };
}

function plain(type, schema, nullable) {
  if (type === "bool" && nullable) return { kind: "choice", choices: [null, true, false] };
  if (type === "bool") return { kind: "switch" };
  if (type === "number") return { kind: "number", whole: schema.type === "integer" };
  if (type === "string") return { kind: "text" };
  return { kind: "json", type };
}

// `Literal["a", "b"] | str` is a text with suggestions. Other unions need JSON, to distinguish "1" from 1.
function mixed(members, found) {
  const listed = members.filter((each) => each.enum).flatMap((each) => each.enum);
  const texts = members.every((each) => each.type === "string" || each.enum);
  if (texts && listed.every((each) => typeof each === "string")) return { ...found, kind: "text", suggestions: listed };
  return { ...found, kind: "json", type: "any" };
}

function withoutNull(schema) {
  if (schema.enum?.includes(null)) {
    return { schema: { ...schema, enum: schema.enum.filter((each) => each !== null) }, nullable: true };
  }
  const members = schema.anyOf ?? [];
  const left = members.filter((each) => each.type !== "null");
  if (left.length === members.length) return { schema, nullable: false };
  const { anyOf, ...rest } = schema;
  return { schema: left.length === 1 ? { ...rest, ...left[0] } : { ...rest, anyOf: left }, nullable: true };
}

// A grant may have more bounds than the option. Then both apply.
function boundsOf(schema) {
  const all = [schema, ...(schema.allOf ?? [])];
  const told = (name) => all.map((each) => each[name]).filter((each) => each !== undefined);
  const highest = (name) => (told(name).length ? Math.max(...told(name)) : undefined);
  const lowest = (name) => (told(name).length ? Math.min(...told(name)) : undefined);
  const lists = told("enum");
  return {
    choices: lists.length ? lists.reduce((left, list) => left.filter((each) => list.includes(each))) : undefined,
    minimum: highest("minimum"),
    above: highest("exclusiveMinimum"),
    maximum: lowest("maximum"),
    below: lowest("exclusiveMaximum"),
    minLength: highest("minLength"),
    maxLength: lowest("maxLength"),
  };
}

/** Describe the allowed values in a few words. The text may be empty. */
export function hint(made) {
  const words = [];
  if (made.whole) words.push("a whole number");
  if (made.minimum !== undefined) words.push(`at least ${made.minimum}`);
  if (made.above !== undefined) words.push(`more than ${made.above}`);
  if (made.maximum !== undefined) words.push(`at most ${made.maximum}`);
  if (made.below !== undefined) words.push(`less than ${made.below}`);
  if (made.minLength > 1) words.push(`at least ${made.minLength} characters`);
  if (made.maxLength !== undefined) words.push(`at most ${made.maxLength} characters`);
  if (made.kind === "json") words.push(made.type === "any" ? "JSON" : `JSON: an ${made.type}`);
  if (made.nullable && made.kind !== "choice") words.push("empty for none");
  return words.join(", ");
}

/** Return a value as the control shows it: true or false for a switch, else text. */
export function show(made, value) {
  if (made.kind === "switch") return Boolean(value);
  if (made.kind === "choice") return value === undefined ? "" : JSON.stringify(value);
  if (value === undefined || value === null) return "";
  return made.kind === "json" ? JSON.stringify(value, null, 2) : String(value);
}

/** Return the entered `{value}`, `{absent: true}` for an empty optional field, or a sentence as `{problem}`. */
export function read(made, raw) {
  if (made.kind === "switch") return { value: raw };
  if (raw === "" && made.nullable) return { value: null };
  if (raw === "" && made.kind !== "text") return made.required ? { problem: "This is required." } : { absent: true };
  return READERS[made.kind](made, raw);
}

const READERS = {
  choice: (made, raw) => ({ value: JSON.parse(raw) }),
  number: readNumber,
  text: readText,
  json: readJson,
};

function readNumber(made, raw) {
  const value = Number(raw);
  if (raw.trim() === "" || !Number.isFinite(value)) return { problem: "Write a number." };
  if (made.whole && !Number.isInteger(value)) return { problem: "Write a whole number." };
  if (value < made.minimum) return { problem: `Write at least ${made.minimum}.` };
  if (value <= made.above) return { problem: `Write more than ${made.above}.` };
  if (value > made.maximum) return { problem: `Write at most ${made.maximum}.` };
  if (value >= made.below) return { problem: `Write less than ${made.below}.` };
  return { value };
}

function readText(made, raw) {
  const length = [...raw].length;
  if (made.required && raw === "" && made.minLength > 0) return { problem: "This is required." };
  if (length < made.minLength) return { problem: `Write at least ${made.minLength} characters.` };
  if (length > made.maxLength) return { problem: `Write at most ${made.maxLength} characters. You wrote ${length}.` };
  return { value: raw };
}

function readJson(made, raw) {
  let value;
  try {
    value = JSON.parse(raw);
  } catch (error) {
    return { problem: `This is not JSON: ${error.message.replace(/\.?$/, ".")}` };
  }
  if (made.type === "array" && !Array.isArray(value)) return { problem: "Write a JSON array, as in [1, 2]." };
  const object = typeof value === "object" && value !== null && !Array.isArray(value);
  if (made.type === "object" && !object) return { problem: 'Write a JSON object, as in {"a": 1}.' };
  return { value };
}

/** Return whether a text needs several lines. */
export function isLong(made, value) {
  return made.kind === "text" && (made.maxLength > LONG || (typeof value === "string" && /\n|.{81}/.test(value)));
}

/** Return whether two JSON values are equal. The order of names does not matter. */
export function same(one, other) {
  return canonical(one) === canonical(other);
}

function canonical(value) {
  return JSON.stringify(value, (_, each) => {
    if (typeof each !== "object" || each === null || Array.isArray(each)) return each;
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
