import { PipecatClient, RTVIEvent } from "@pipecat-ai/client-js";
import {
  PipecatClientAudio,
  PipecatClientProvider,
  usePipecatClient,
  usePipecatClientTransportState,
  useRTVIClientEvent,
} from "@pipecat-ai/client-react";
import { WavMediaManager, WebSocketTransport } from "@pipecat-ai/websocket-transport";
import { useCallback, useState } from "react";

const START = { endpoint: "http://127.0.0.1:7860/start" };

const createClient = () =>
  new PipecatClient({
    // The transport sends 16000 Hz, so record at this rate.
    transport: new WebSocketTransport({ mediaManager: new WavMediaManager(512, 16000) }),
    enableMic: true,
  });

function Call({ onEnd }) {
  const client = usePipecatClient();
  const state = usePipecatClientTransportState();
  const [lines, setLines] = useState([]);
  const show = useCallback((who, text) => setLines((lines) => [...lines, `${who}: ${text}`]), []);

  useRTVIClientEvent(
    RTVIEvent.UserTranscript,
    useCallback(({ text, final }) => final && show("You", text), [show]),
  );
  useRTVIClientEvent(
    RTVIEvent.BotOutput,
    useCallback(({ text, spoken_status }) => spoken_status === "new" && show("Bot", text), [show]),
  );
  useRTVIClientEvent(
    RTVIEvent.Error,
    useCallback(({ data }) => show("Error", data.message), [show]),
  );
  useRTVIClientEvent(RTVIEvent.Disconnected, onEnd);

  const talk = () => client.startBotAndConnect(START).catch(() => {}); // the event Error shows the reason

  return (
    <>
      <button onClick={talk} disabled={state !== "disconnected"}>
        Talk
      </button>
      <button onClick={() => client.disconnect()}>Hang up</button>
      <p>{state}</p>
      <ul>
        {lines.map((line, index) => (
          <li key={index}>{line}</li>
        ))}
      </ul>
    </>
  );
}

export default function App() {
  // Create a new client for each call. After a call, the published client may play no sound.
  const [client, setClient] = useState(createClient);
  const renew = useCallback(() => setClient(createClient()), []);

  return (
    <PipecatClientProvider client={client}>
      <Call onEnd={renew} />
      <PipecatClientAudio />
    </PipecatClientProvider>
  );
}
