// Plays the bot's audio: pieces of s16le, or the track of a WebRTC connection.

const RATE = 24000; // what bots send over a WebSocket
const AHEAD = 0.06; // seconds in hand before playing begins

/** A player of 24 kHz mono s16le pieces. Create it in a click handler, because browsers block audio otherwise. */
export async function openPlayer({ level }) {
  const context = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
  const resumed = context.resume();
  await context.audioWorklet.addModule(new URL("./playback.js", import.meta.url));
  const processorOptions = { ahead: AHEAD * context.sampleRate };
  const node = new AudioWorkletNode(context, "playback", {
    numberOfInputs: 0,
    outputChannelCount: [1],
    processorOptions,
  });
  node.port.onmessage = ({ data }) => level(data);
  node.connect(context.destination);
  // If the browser waits for another click, `resume` settles only after it.
  resumed.catch(() => {});
  return {
    play(bytes) {
      const samples = toFloats(bytes);
      node.port.postMessage(samples, [samples.buffer]);
    },
    clear: () => node.port.postMessage("clear"),
    resume: () => context.resume(),
    close: () => context.close(),
  };
}

/** Play the track of a WebRTC connection, and measure it. */
export function playStream(stream, { level }) {
  const element = new Audio();
  element.srcObject = stream;
  element.play().catch(() => {}); // it waits for a click, or for the first sound
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  analyser.fftSize = 1024;
  context.createMediaStreamSource(stream).connect(analyser);
  const timer = setInterval(() => level(measured(analyser)), 40);
  return {
    resume: () => (context.resume(), element.play()),
    clear() {},
    close() {
      clearInterval(timer);
      element.srcObject = null;
      context.close();
    },
  };
}

function measured(analyser) {
  const samples = new Float32Array(analyser.fftSize);
  analyser.getFloatTimeDomainData(samples);
  return Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
}

function toFloats(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float32Array.from({ length: bytes.byteLength >> 1 }, (_, index) => view.getInt16(2 * index, true) / 32768);
}
