// Audio worklet: cuts the microphone's audio into pieces of 20 ms, 16 kHz mono s16le.

const RATE = 16000;
const PIECE = RATE / 50;

class Capture extends AudioWorkletProcessor {
  #piece = new Int16Array(PIECE);
  #filled = 0;
  #step = RATE / sampleRate; // less than 1 in a browser that cannot run this context at 16 kHz
  #sum = 0;
  #count = 0;
  #phase = 0;

  process(inputs) {
    const samples = inputs[0][0];
    if (!samples) return true;
    for (const sample of samples) this.#take(sample);
    return true;
  }

  // Averages as many samples as make one; at 16 kHz that is each sample itself.
  #take(sample) {
    this.#sum += sample;
    this.#count += 1;
    this.#phase += this.#step;
    if (this.#phase < 1 - 1e-9) return;
    this.#phase -= 1;
    this.#put(this.#sum / this.#count);
    this.#sum = this.#count = 0;
  }

  #put(sample) {
    this.#piece[this.#filled++] = Math.round(Math.max(-1, Math.min(1, sample)) * 32767);
    if (this.#filled < PIECE) return;
    this.port.postMessage(this.#piece.buffer, [this.#piece.buffer]);
    this.#piece = new Int16Array(PIECE);
    this.#filled = 0;
  }
}

registerProcessor("capture", Capture);
