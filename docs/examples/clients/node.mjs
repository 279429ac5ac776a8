// Adds what published clients need in Node.js: node --import ./node.mjs program.mjs

import { WebSocket } from "ws"; // needed before Node.js 22

globalThis.window ??= {};
globalThis.WebSocket ??= WebSocket;
