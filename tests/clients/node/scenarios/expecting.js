// Assertions about answers that several scenarios share.

import assert from "node:assert/strict";

/** The request is refused with this code, in a sentence that names no internals. Returns the answer's data. */
export async function refused(promise, code) {
  const answer = await promise.then(
    (value) => assert.fail(`expected ${code}, was answered ${JSON.stringify(value)}`),
    (error) => error,
  );
  if (answer.name !== "Refused") throw answer;
  const { data } = answer;
  assert.equal(data.code, code, `was refused otherwise: ${JSON.stringify(data)}`);
  assert.equal(typeof data.error, "string");
  assert.equal(typeof data.retryable, "boolean");
  assert.doesNotMatch(data.error, /Traceback|\.py\b|Error\(/);
  return data;
}

/** As many problems as names, and each name is told in one; every problem says where in the message it is. */
export function complainsAbout(data, ...names) {
  assert.equal(data.details.length, names.length, JSON.stringify(data.details));
  for (const name of names) assert.ok(data.details.some(({ message }) => message.includes(name)), `not told: ${name}`);
  for (const { path } of data.details) assert.match(path, /^\$\.data\b/);
}

/** The value of one option in a config list. */
export function valueOf(config, service, option) {
  return config.find((entry) => entry.service === service)?.options.find(({ name }) => name === option)?.value;
}

/** A config list that sets options of one service. */
export const setting = (service, values) => [
  { service, options: Object.entries(values).map(([name, value]) => ({ name, value })) },
];
