// @pipecat-ai/client-js 1.x and later

import { PipecatClient, RTVIMessage, Transport } from "@pipecat-ai/client-js";
import { textSocket } from "./transport.mjs";

class TextTransport extends textSocket(Transport) {
  _validateConnectionParams(params) {
    return params;
  }

  _connect({ wsUrl, token }) {
    return this.open(`${wsUrl}?token=${encodeURIComponent(token)}`);
  }

  _disconnect() {
    return this.close();
  }

  sendReadyMessage() {
    this.state = "ready";
    this.sendMessage(RTVIMessage.clientReady());
  }
}

export async function talk(server, show) {
  const client = new PipecatClient({
    transport: new TextTransport(),
    enableMic: false,
    callbacks: { onBotOutput: ({ text }) => show(text) },
  });

  await client.startBotAndConnect({
    endpoint: `${server}/start`,
    requestData: {
      services: { llm: "rules" },
      config: [{ service: "llm", options: [{ name: "name", value: "Vera" }] }],
    },
  });
  await client.sendClientRequest("update-config", {
    config: [{ service: "llm", options: [{ name: "name", value: "Ada" }] }],
  });
  const booking = await client.sendClientRequest("book_room", { nights: 2 });
  await client.sendText("Who are you?");
  return { client, booking };
}
