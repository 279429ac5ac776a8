// The microphone: permission, its stream, and 20 ms pieces of 16 kHz mono s16le for the transport and the meter.

import { rms } from "./levels.js";

const RATE = 16000;
const WANTED = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };

const SENTENCES = {
  NotAllowedError: "The browser does not allow this page to use the microphone. Allow it in the address bar.",
  NotFoundError: "No microphone was found. Connect one to speak.",
  NotReadableError: "The microphone is in use by another program, or was switched off.",
};

/** Ask for the microphone. `piece(bytes)` and `level(rms)` are called 50 times a second until it is closed. */
export async function openMicrophone({ piece, level }) {
  if (!window.isSecureContext) {
    throw new Error("Browsers allow the microphone only on https pages and on localhost.");
  }
  const stream = await navigator.mediaDevices.getUserMedia({ audio: WANTED }).catch((error) => {
    throw new Error(SENTENCES[error.name] ?? "The microphone could not be opened.");
  });
  try {
    return await Microphone.listen(stream, { piece, level });
  } catch {
    stream.getTracks().forEach((track) => track.stop());
    throw new Error("This browser cannot record from the microphone.");
  }
}

class Microphone {
  #context;
  #source;

  static async listen(stream, { piece, level }) {
    const microphone = new Microphone();
    microphone.stream = stream;
    const { context, source } = connect(stream);
    microphone.#context = context;
    microphone.#source = source;
    await context.audioWorklet.addModule(new URL("./capture.js", import.meta.url));
    const capture = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
    capture.port.onmessage = ({ data }) => {
      level(rms(new Int16Array(data)));
      piece(new Uint8Array(data));
    };
    source.connect(capture);
    await context.resume();
    return microphone;
  }

  get track() {
    return this.stream.getAudioTracks()[0];
  }

  close() {
    this.#source.disconnect();
    this.stream.getTracks().forEach((track) => track.stop());
    this.#context.close();
  }
}

// Some browsers connect a stream only to a context with the same rate. The worklet then resamples.
function connect(stream) {
  const context = new AudioContext({ sampleRate: RATE });
  try {
    return { context, source: context.createMediaStreamSource(stream) };
  } catch {
    context.close();
    const own = new AudioContext();
    return { context: own, source: own.createMediaStreamSource(stream) };
  }
}
