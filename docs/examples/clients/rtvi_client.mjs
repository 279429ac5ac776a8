// realtime-ai 0.2, and @pipecat-ai/client-js 0.3 and 0.4

import { LLMHelper, RTVIClient, RTVIMessage, Transport } from "@pipecat-ai/client-js";
import { textSocket } from "./transport.mjs";

class TextTransport extends textSocket(Transport) {
  connect(bundle) {
    return bundle?.ws_url ? this.open(bundle.ws_url) : Promise.reject(new Error("the bot was not started"));
  }

  disconnect() {
    return this.close();
  }

  sendReadyMessage() {
    this.state = "ready";
    this.sendMessage(RTVIMessage.clientReady());
  }
}

export async function talk(server, show) {
  const client = new RTVIClient({
    transport: new TextTransport(),
    enableMic: false,
    params: {
      baseUrl: server,
      requestData: {
        services: { llm: "rules" },
        config: [{ service: "llm", options: [{ name: "name", value: "Vera" }] }],
      },
    },
    callbacks: { onBotTranscript: ({ text }) => show(text) },
  });
  const llm = client.registerHelper("llm", new LLMHelper({}));

  await client.connect();
  await client.updateConfig([{ service: "llm", options: [{ name: "name", value: "Ada" }] }]);
  const answer = await client.action({
    service: "bot",
    action: "book_room",
    arguments: [{ name: "nights", value: 2 }],
  });
  await llm.appendToMessages({ role: "user", content: "Who are you?" }, true);
  return { client, booking: answer.data.result };
}
