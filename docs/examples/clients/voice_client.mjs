// realtime-ai 0.1

import { LLMHelper, Transport, VoiceClient, VoiceMessage } from "realtime-ai";
import { textSocket } from "./transport.mjs";

class TextTransport extends textSocket(Transport) {
  connect(bundle) {
    return bundle?.ws_url ? this.open(bundle.ws_url) : Promise.reject(new Error("the bot was not started"));
  }

  disconnect() {
    return this.close();
  }

  sendReadyMessage() {
    this.sendMessage(VoiceMessage.clientReady());
  }
}

export async function talk(server, show) {
  const client = new VoiceClient({
    baseUrl: `${server}/connect`,
    transport: TextTransport,
    enableMic: false,
    services: { llm: "rules" },
    config: [{ service: "llm", options: [{ name: "name", value: "Vera" }] }],
    callbacks: { onBotTranscript: show },
  });
  const llm = client.registerHelper("llm", new LLMHelper({}));

  await client.start();
  await client.updateConfig([{ service: "llm", options: [{ name: "name", value: "Ada" }] }]);
  const answer = await client.action({
    service: "bot",
    action: "book_room",
    arguments: [{ name: "nights", value: 2 }],
  });
  await llm.appendToMessages({ role: "user", content: "Who are you?" }, true);
  return { client, booking: answer.data.result };
}
