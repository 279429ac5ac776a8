// realtime-ai 0.1: VoiceClient, which makes its transport itself and becomes ready on `bot-ready`.

import { createRequire } from "node:module";

import { Hearing, Inbox } from "../inbox.js";
import { overTextSocket } from "../transport.js";
import { answered } from "./refused.js";

const { LLMHelper, Transport, VoiceClient, VoiceMessage } = createRequire(import.meta.url)("rtvi-client-0.1");

class TextTransport extends overTextSocket(Transport) {
  connect(bundle) {
    // After a refused start this client connects all the same, with no bundle.
    return bundle?.ws_url ? this.open(bundle.ws_url) : Promise.reject(new Error("the start gave no ws_url"));
  }

  disconnect() {
    return this.close();
  }

  sendReadyMessage() {
    this.sendMessage(VoiceMessage.clientReady());
  }
}

export class Driver {
  heard = new Hearing();
  pushed = new Inbox();
  states = new Inbox();
  #functions = {};

  constructor(server, { services = { llm: "rules" }, config, headers, body } = {}) {
    this.client = new VoiceClient({
      baseUrl: `${server}/connect`,
      transport: TextTransport,
      enableMic: false,
      services,
      config,
      customHeaders: headers,
      customBodyParams: body,
      callbacks: {
        onTransportStateChanged: (state) => this.states.push(state),
        onBotTranscript: this.heard.text,
        onGenericMessage: (data) => this.#generic(data),
      },
    });
    this.client.on("error", (message) => this.pushed.push({ type: "error", ...message.data }));
    this.helper = this.client.registerHelper("llm", new LLMHelper({}));
    this.helper.handleFunctionCall(async (call) => this.#functions[call.functionName]?.(call.arguments));
  }

  // This client has no words for the LLM's start and stop: it passes them on as messages without data.
  #generic(data) {
    if (data != null) return this.pushed.push(data);
    this.#answering = !this.#answering;
    return this.#answering ? this.heard.started() : this.heard.stopped();
  }
  #answering = false;

  connect = () => this.client.start();
  disconnect = () => this.client.disconnect();
  describeActions = async () => (await answered(this.client.describeActions())).data.actions;
  describeConfig = async () => (await answered(this.client.describeConfig())).data.config;
  getConfig = async () => (await answered(this.client.getBotConfig())).data.config;
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
}
