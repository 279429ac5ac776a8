// Runs every check that applies to one published client and prints one JSON line for each.
//
//   node run.js --list                       the names of all checks, by client, without importing any client
//   node run.js "client-js 1.13.1" ADDRESSES    ADDRESSES: {"open": URL, "closed": URL, "secret": TEXT} as JSON

import { readFile } from "node:fs/promises";

import { CLIENTS } from "./clients.js";
import { CHECKS } from "./scenarios/index.js";
import { Session } from "./session.js";

const AT_ONCE = 6; // checks, each with sessions of its own; few, because four clients share the machine
const ESCAPED = "no error escapes the client";
const INSTALLED = "the installed package is the published one";

const applying = (name) => CHECKS.filter(({ only }) => only?.(CLIENTS[name]) ?? true);
const namesFor = (name) => [INSTALLED, ...applying(name).map((check) => check.name), ESCAPED];

const report = (name, ok, detail = "") => process.stdout.write(`${JSON.stringify({ name, ok, detail })}\n`);

async function checkInstalled(client) {
  const file = new URL(`../node_modules/${CLIENTS[client].installed}/package.json`, import.meta.url);
  const { name, version } = JSON.parse(await readFile(file, "utf8"));
  report(INSTALLED, `${name.replace("@pipecat-ai/", "")} ${version}` === client, `found ${name} ${version}`);
}

async function runOne({ name, run, seconds = 20 }, Driver, addresses) {
  const session = new Session(Driver, addresses);
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took longer than ${seconds} s`)), seconds * 1000);
  });
  try {
    await Promise.race([run(session, addresses), late]);
    report(name, true);
  } catch (error) {
    report(name, false, String(error?.stack ?? JSON.stringify(error)).slice(0, 4000));
  } finally {
    clearTimeout(timer);
    await session.end();
  }
}

async function runAll(client, addresses) {
  const escaped = [];
  process.on("unhandledRejection", (reason) => escaped.push(String(reason?.stack ?? JSON.stringify(reason))));
  process.on("uncaughtException", (error) => escaped.push(String(error.stack)));
  // What a browser's console would swallow; 0.1 logs everything there, and stdout is for results.
  for (const level of ["debug", "log", "info"]) console[level] = () => {};

  await checkInstalled(client);
  const Driver = await CLIENTS[client].driver();
  // The most patient first, so that their waiting overlaps with the rest.
  const waiting = applying(client).sort((a, b) => (b.seconds ?? 0) - (a.seconds ?? 0));
  const worker = async () => {
    for (let next; (next = waiting.shift()); ) await runOne(next, Driver, addresses);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  report(ESCAPED, escaped.length === 0, escaped.join("\n"));
}

const [first, second] = process.argv.slice(2);
if (first === "--list") {
  console.log(JSON.stringify(Object.fromEntries(Object.keys(CLIENTS).map((name) => [name, namesFor(name)]))));
} else {
  await runAll(first, JSON.parse(second));
  process.exit(0); // abandoned requests of these clients leave timers behind
}
