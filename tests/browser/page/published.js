// An application of the published client, as its documentation has one written: it connects, plays what the bot says,
// and notes every message and callback with the time at which it came.

import { LogLevel, PipecatClient } from "@pipecat-ai/client-js";
import { SmallWebRTCTransport, WavMediaManager as WebRTCMedia } from "@pipecat-ai/small-webrtc-transport";
import { WavMediaManager as SocketMedia, WebSocketTransport } from "@pipecat-ai/websocket-transport";

import { stayConnected } from "../../../docs/examples/clients/resuming.mjs";

// The media manager that both use unless told otherwise fetches a script from elsewhere and never settles offline. The
// WebSocket transport labels what it records 16 kHz, so that is what must be recorded.
const TRANSPORTS = {
  websocket: () => new WebSocketTransport({ mediaManager: new SocketMedia(512, 16000) }),
  webrtc: () => new SmallWebRTCTransport({ mediaManager: new WebRTCMedia() }),
};

const STARTS = { websocket: "/start", webrtc: "/webrtc/start" };

const CALLBACKS = [
  "onConnected",
  "onDisconnected",
  "onTransportStateChanged",
  "onBotReady",
  "onError",
  "onMessageError",
  "onDeviceError",
  "onUserStartedSpeaking",
  "onUserStoppedSpeaking",
  "onUserTranscript",
  "onUserLlmText",
  "onBotStartedSpeaking",
  "onBotStoppedSpeaking",
  "onBotLlmStarted",
  "onBotLlmText",
  "onBotLlmStopped",
  "onBotTtsStarted",
  "onBotTtsText",
  "onBotTtsStopped",
  "onBotOutput",
  "onMetrics",
  "onServerMessage",
];

const told = [];
const waiting = new Set();
let call;

function note(kind, type, data) {
  // Callbacks are given live objects, and what is noted must be what it was then.
  told.push({ at: performance.now(), kind, type, data: data === undefined ? null : JSON.parse(JSON.stringify(data)) });
  for (const look of [...waiting]) look();
}

/** See every message that a transport hands to its client, also those for which the client has no callback. */
function overhear(transport) {
  const initialize = transport.initialize.bind(transport);
  transport.initialize = (options, take) =>
    initialize(options, (message) => {
      note("message", message.type, message.data);
      take(message);
    });
  return transport;
}

function play(track, participant) {
  if (participant?.local || track.kind !== "audio") return;
  document.getElementById("bot").srcObject = new MediaStream([track]);
}

const options = () => ({
  enableMic: true,
  callbacks: {
    ...Object.fromEntries(CALLBACKS.map((name) => [name, (data) => note("callback", name, data)])),
    onTrackStarted: play,
  },
});

const matches = (data, wanted) => Object.entries(wanted).every(([name, value]) => data?.[name] === value);

window.published = {
  /** Start a session and connect to it. Resolves with the data of `bot-ready`. */
  connect(transport, server, requestData) {
    const client = new PipecatClient({ ...options(), transport: overhear(TRANSPORTS[transport]()) });
    client.setLogLevel(LogLevel.WARN);
    call = { client, disconnect: () => client.disconnect() };
    return client.startBotAndConnect({ endpoint: `${server}${STARTS[transport]}`, requestData });
  },

  /** The same by the program of the documentation, which comes back after the connection was lost. */
  async stay(transport, server, requestData) {
    call = await stayConnected({
      endpoint: `${server}${STARTS[transport]}`,
      requestData,
      transport: () => overhear(TRANSPORTS[transport]()),
      options: options(),
    });
  },

  disconnect: () => call.disconnect(),

  request: (type, data) => call.client.sendClientRequest(type, data),
  type: (text, options) => call.client.sendText(text, options),
  microphone: (enabled) => call.client.enableMic(enabled),
  now: () => performance.now(),
  told: (since = 0) => told.filter(({ at }) => at >= since),

  /** The first message or callback of this type and with such data that came then or later. */
  until(type, wanted = {}, since = 0, seconds = 20) {
    return new Promise((resolve, reject) => {
      const settle = (finish, value) => {
        clearTimeout(timer);
        waiting.delete(look);
        finish(value);
      };
      const look = () => {
        const found = told.find((each) => each.at >= since && each.type === type && matches(each.data, wanted));
        if (found) settle(resolve, found);
      };
      const timer = setTimeout(() => {
        const heard = told.filter(({ at, kind }) => at >= since && kind === "message").map(({ type }) => type);
        settle(reject, new Error(`waited ${seconds} s for ${type} ${JSON.stringify(wanted)}; there came ${heard}`));
      }, 1000 * seconds);
      waiting.add(look);
      look();
    });
  },
};
