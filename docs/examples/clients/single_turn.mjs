// realtime-ai 0.2, and @pipecat-ai/client-js 0.3 and 0.4: an action without a connection.

import { RTVIClient, Transport } from "@pipecat-ai/client-js";
import { textSocket } from "./transport.mjs";

export async function ask(server, show) {
  const client = new RTVIClient({
    transport: new (textSocket(Transport))(),
    enableMic: false,
    params: {
      baseUrl: server,
      requestData: {
        services: { llm: "rules" },
        config: [{ service: "llm", options: [{ name: "name", value: "Ada" }] }],
      },
    },
    callbacks: { onBotTranscript: ({ text }) => show(text) },
  });

  const answer = await client.action({
    service: "bot",
    action: "book_room",
    arguments: [{ name: "nights", value: 2 }],
  });
  await client.action({
    service: "llm",
    action: "append_to_messages",
    arguments: [
      { name: "messages", value: [{ role: "user", content: "Who are you?" }] },
      { name: "run_immediately", value: true },
    ],
  });
  return { client, booking: answer.data.result };
}
