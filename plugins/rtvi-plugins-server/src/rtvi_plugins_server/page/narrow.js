// Merge the schemas in `allOf`, with which a grant narrows what an option or an argument accepts.

const HIGHEST = ["minimum", "exclusiveMinimum", "minLength", "minItems"];
const LOWEST = ["maximum", "exclusiveMaximum", "maxLength", "maxItems"];

/** Return a schema without `allOf` and `const` at its top, which accepts only what all of its parts accept. */
export function merged(schema) {
  const { allOf = [], const: only, ...rest } = schema;
  const whole = only === undefined ? rest : { ...rest, enum: [only] };
  return allOf.reduce((one, other) => merge(one, merged(other)), whole);
}

function merge(one, other) {
  const both = (name) => one[name] !== undefined && other[name] !== undefined;
  const found = { ...other, ...one, ...given("type", other), ...given("enum", other) };
  for (const name of HIGHEST.filter(both)) found[name] = Math.max(one[name], other[name]);
  for (const name of LOWEST.filter(both)) found[name] = Math.min(one[name], other[name]);
  if (both("enum")) found.enum = one.enum.filter((each) => other.enum.includes(each));
  if (both("items") && other.items) found.items = merge(merged(one.items), merged(other.items));
  if (both("properties")) found.properties = properties(one.properties, other.properties);
  if (both("anyOf") && other.anyOf.every(isType)) found.anyOf = other.anyOf;
  return found;
}

function given(name, schema) {
  return schema[name] === undefined ? {} : { [name]: schema[name] };
}

// `false` forbids a property.
function properties(one, other) {
  const left = Object.entries(one).filter(([name]) => other[name] !== false);
  return Object.fromEntries(left.map(([name, each]) => [name, name in other ? merge(merged(each), merged(other[name])) : each]));
}

function isType(schema) {
  return ["type", "enum", "const", "anyOf"].some((name) => name in schema);
}
