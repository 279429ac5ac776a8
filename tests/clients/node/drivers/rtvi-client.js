// realtime-ai 0.2 and client-js 0.4: RTVIClient, ready as soon as it has sent `client-ready`.

import { createRequire } from "node:module";

import { Hearing, Inbox } from "../inbox.js";
import { overTextSocket } from "../transport.js";
import { answered } from "./refused.js";

/** The driver for the RTVIClient that is installed under this name. */
export function driverFor(packageName) {
  const { LLMHelper, RTVIClient, RTVIMessage, Transport } = createRequire(import.meta.url)(packageName);

  class TextTransport extends overTextSocket(Transport) {
    connect(bundle) {
      return bundle?.ws_url ? this.open(bundle.ws_url) : Promise.reject(new Error("the start gave no ws_url"));
    }

    disconnect() {
      return this.close();
    }

    sendReadyMessage() {
      this.state = "ready";
      this.sendMessage(RTVIMessage.clientReady());
    }
  }

  return class Driver {
    heard = new Hearing();
    pushed = new Inbox();
    states = new Inbox();
    #functions = {};

    constructor(server, { services, config, headers, body } = {}) {
      this.client = new RTVIClient({
        transport: new TextTransport(),
        enableMic: false,
        params: { baseUrl: server, headers: new Headers(headers), requestData: { services, config, ...body } },
        callbacks: {
          onTransportStateChanged: (state) => this.states.push(state),
          onBotLlmStarted: this.heard.started,
          onBotLlmText: ({ text }) => this.heard.text(text),
          onBotLlmStopped: this.heard.stopped,
          onConfig: (config) => this.pushed.push({ type: "config", config }),
          onGenericMessage: (data) => this.pushed.push(data), // 0.2 has no word for server messages
          onServerMessage: (data) => this.pushed.push(data),
        },
      });
      this.client.on("error", (message) => this.pushed.push({ type: "error", ...message.data }));
      this.helper = this.client.registerHelper("llm", new LLMHelper({}));
      this.helper.handleFunctionCall(async (call) => this.#functions[call.functionName]?.(call.arguments));
    }

    connect = () => this.client.connect();
    disconnect = () => this.client.disconnect();
    describeActions = async () => (await answered(this.client.describeActions())).data.actions;
    describeConfig = async () => (await answered(this.client.describeConfig())).data.config;
    getConfig = () => answered(this.client.getConfig());
    updateConfig = async (config, interrupt) => (await answered(this.client.updateConfig(config, interrupt))).data;
    type = (text) => answered(this.helper.appendToMessages({ role: "user", content: text }, true));
    onFunctionCall = (name, callback) => (this.#functions[name] = callback);

    /** Types into what the bot is saying: of the helper's calls only `run` interrupts. */
    async interrupt(text) {
      await answered(this.helper.appendToMessages({ role: "user", content: text }));
      await answered(this.helper.run(true));
    }

    async action(service, action, values = {}) {
      const named = Object.entries(values).map(([name, value]) => ({ name, value }));
      return (await answered(this.client.action({ service, action, arguments: named }))).data.result;
    }
  };
}
