// Audio worklet: plays the bot's audio. A small buffer hides uneven arrival.

const FADE = 96; // samples: an interruption must not click

class Playback extends AudioWorkletProcessor {
  #queue = [];
  #at = 0; // in the first of the queue
  #queued = 0;
  #waited = 0;
  #playing = false;
  #ahead;
  #energy = 0;
  #counted = 0;

  constructor({ processorOptions }) {
    super();
    this.#ahead = processorOptions.ahead;
    this.port.onmessage = ({ data }) => (data === "clear" ? this.#clear() : this.#push(data));
  }

  #push(samples) {
    this.#queue.push(samples);
    this.#queued += samples.length;
  }

  #clear() {
    const rest = this.#playing ? this.#take(Math.min(FADE, this.#queued)) : new Float32Array();
    this.#queue = [];
    this.#queued = this.#at = 0;
    if (rest.length) this.#push(rest.map((sample, index) => sample * (1 - index / rest.length)));
  }

  #take(length) {
    const taken = new Float32Array(length);
    for (let filled = 0; filled < length;) {
      const first = this.#queue[0];
      const part = first.subarray(this.#at, this.#at + length - filled);
      taken.set(part, filled);
      filled += part.length;
      this.#at += part.length;
      if (this.#at === first.length) {
        this.#queue.shift();
        this.#at = 0;
      }
    }
    this.#queued -= length;
    return taken;
  }

  process(inputs, outputs) {
    const output = outputs[0][0];
    if (!this.#playing && this.#queued) this.#waited += output.length;
    // Start with some audio in the buffer. A shorter last piece must not wait for ever.
    if (!this.#playing && (this.#queued >= this.#ahead || this.#waited >= this.#ahead)) this.#playing = true;
    if (this.#playing) output.set(this.#take(Math.min(output.length, this.#queued)));
    if (!this.#queued) {
      this.#playing = false;
      this.#waited = 0;
    }
    this.#measure(output);
    return true;
  }

  #measure(output) {
    for (const sample of output) this.#energy += sample * sample;
    this.#counted += output.length;
    if (this.#counted < sampleRate / 40) return;
    this.port.postMessage(Math.sqrt(this.#energy / this.#counted));
    this.#energy = this.#counted = 0;
  }
}

registerProcessor("playback", Playback);
