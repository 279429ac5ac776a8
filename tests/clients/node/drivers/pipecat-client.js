// client-js 1.x: PipecatClient, which has no action or config messages; the same requests travel as client messages.

import { createRequire } from "node:module";

import { Hearing, Inbox } from "../inbox.js";
import { overTextSocket } from "../transport.js";
import { answered } from "./refused.js";

globalThis.window ??= {}; // the one browser global that this client reads: it looks for a user agent there

const { LogLevel, PipecatClient, RTVIMessage, Transport } = createRequire(import.meta.url)("rtvi-client-1");

class TextTransport extends overTextSocket(Transport) {
  // As strict as the published WebSocket transport, which takes an address and a token and nothing else.
  _validateConnectionParams(params) {
    for (const [key, value] of Object.entries(params ?? {})) {
      if (!["wsUrl", "ws_url", "token"].includes(key)) throw new Error(`Unrecognized connection parameter: ${key}`);
      if (typeof value !== "string") throw new Error(`Invalid type for ${key}`);
    }
    return params;
  }

  _connect({ wsUrl, ws_url = wsUrl, token }) {
    const url = new URL(ws_url);
    if (token) url.searchParams.set("token", token);
    return this.open(url);
  }

  _disconnect() {
    return this.close();
  }

  sendReadyMessage() {
    this.state = "ready";
    this.sendMessage(RTVIMessage.clientReady());
  }
}

export class Driver {
  heard = new Hearing();
  pushed = new Inbox();
  states = new Inbox();

  constructor(server, { services, config, headers, body } = {}) {
    this.start = {
      endpoint: `${server}/start`,
      headers: new Headers(headers),
      requestData: { services, config, ...body },
    };
    this.client = new PipecatClient({
      transport: new TextTransport(),
      enableMic: false,
      callbacks: {
        onTransportStateChanged: (state) => this.states.push(state),
        onBotLlmStarted: this.heard.started,
        onBotLlmText: ({ text }) => this.heard.text(text),
        onBotLlmStopped: this.heard.stopped,
        onServerMessage: (data) => this.pushed.push(data),
        onLLMFunctionCallStopped: (data) => this.pushed.push({ type: "function-call-stopped", ...data }),
        onUserLlmText: (data) => this.pushed.push({ type: "user-llm-text", ...data }),
        onBotOutput: (data) => this.pushed.push({ type: "bot-output", ...data }),
        onError: (message) => this.pushed.push({ type: "error", ...message.data }),
      },
    });
    this.client.setLogLevel(LogLevel.NONE);
  }

  connect = () => this.client.startBotAndConnect(this.start);
  disconnect = () => this.client.disconnect();
  request = (type, data) => answered(this.client.sendClientRequest(type, data));
  describeActions = async () => (await this.request("describe-actions", {})).actions;
  describeConfig = async () => (await this.request("describe-config", {})).config;
  getConfig = async () => (await this.request("get-config", {})).config;
  updateConfig = (config, interrupt = false) => this.request("update-config", { config, interrupt });
  action = (service, action, values = {}) => this.request("action", { service, action, arguments: values });
  type = (text) => this.client.sendText(text);
  interrupt = (text) => this.client.sendText(text); // what is typed is answered at once
  onFunctionCall = (name, callback) =>
    this.client.registerFunctionCallHandler(name, (call) => callback(call.arguments));
}
