// The duration of a call, and of points in time within it.

/** Format seconds as minutes and seconds, as in 1:05. */
export function duration(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** Shows in an element how long the call has lasted. */
export class CallTimer {
  #element;
  #timer = null;
  #since = 0;

  constructor(element) {
    this.#element = element;
  }

  start() {
    this.#since = performance.now();
    this.#timer = setInterval(() => this.#show(), 1000);
    this.#element.hidden = false;
    this.#show();
  }

  /** Stop, and keep showing how long the call lasted. */
  stop() {
    clearInterval(this.#timer);
  }

  #show() {
    this.#element.textContent = duration((performance.now() - this.#since) / 1000);
  }
}
