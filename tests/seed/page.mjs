// What a page does, with any published client: start the bot with a provider and a model, type, and read the answer.
//
//   node page.mjs "client-js 1.13.1" SERVER '{"services": {…}, "config": […]}'
//
// Prints one JSON object: what the bot said, or failed to, or how it refused; and all that came over HTTP and the WebSocket.

import { createRequire } from "node:module";

import { CLIENTS } from "../clients/node/clients.js";
import { Session } from "../clients/node/session.js";

const [client, server, start] = process.argv.slice(2);

// Below the clients, which are as published: whatever reaches this process is kept.
const wire = [];
const { fetch } = globalThis;
globalThis.fetch = async (...request) => {
  const response = await fetch(...request);
  wire.push(await response.clone().text());
  return response;
};
const { WebSocket } = createRequire(new URL("../clients/", import.meta.url))("ws");
const { emit } = WebSocket.prototype;
WebSocket.prototype.emit = function (event, data, ...rest) {
  if (event === "message" || event === "close") wire.push(String(event === "close" ? rest[0] : data));
  return emit.call(this, event, data, ...rest);
};
for (const level of ["debug", "log", "info", "error", "warn"]) console[level] = () => {};

/** What is told about an error that a client throws: the whole of it, whatever it is. */
const whole = (error) => JSON.stringify({ ...error, message: String(error?.message), data: error?.data });

const session = new Session(await CLIENTS[client].driver(), { open: server });
const driver = session.client(JSON.parse(start));
const told = {};
try {
  await driver.connect();
  await driver.type("Good morning");
  told.said = await driver.heard.ends();
  if (!told.said) {
    told.failed = await driver.pushed.until((items) => items.find(({ type }) => type === "error"), "an error");
  }
} catch (error) {
  told.refused = whole(error);
}
await session.end();
process.stdout.write(JSON.stringify({ ...told, wire }));
process.exit(0); // these clients leave timers behind
