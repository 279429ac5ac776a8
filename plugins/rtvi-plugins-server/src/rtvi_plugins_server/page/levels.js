// Sound levels for the meters.

const QUIETEST = -60; // dB of full scale: below it, the meter is empty

/** Return the root mean square of s16 samples, 0 to 1. */
export function rms(samples) {
  let sum = 0;
  for (const sample of samples) sum += (sample / 32768) ** 2;
  return samples.length ? Math.sqrt(sum / samples.length) : 0;
}

/** Convert a root mean square to a position on the meter's decibel scale, 0 to 1. */
export function share(level) {
  if (level <= 0) return 0;
  return Math.max(0, Math.min(1, 1 - (20 * Math.log10(level)) / QUIETEST));
}

/** A meter that rises at once and falls slowly, drawn when the browser draws. */
export class Meter {
  #element;
  #shown = 0;
  #wanted = 0;
  #running = false;

  constructor(element, onChange = () => {}) {
    this.#element = element;
    this.onChange = onChange;
  }

  /** Show a root mean square. */
  set(level) {
    this.#wanted = share(level);
    if (this.#running) return;
    this.#running = true;
    requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#shown = Math.max(this.#wanted, this.#shown * 0.86);
    if (this.#shown < 0.01) this.#shown = 0;
    this.#element.style.setProperty("--level", this.#shown.toFixed(3));
    this.#element.setAttribute("aria-valuenow", String(Math.round(this.#shown * 100)));
    this.onChange(this.#shown);
    this.#running = this.#shown > 0;
    if (this.#running) requestAnimationFrame(() => this.#draw());
  }
}
