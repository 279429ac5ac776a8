// Notices a connection that is dead although nobody has closed it: a power failure is silence.

const EVERY = 1000; // ms
const PATIENCE = 2000; // ms

/** Asks the server once a second whether it is there, and reports that nothing comes from it any more. */
export class Heartbeat {
  #timer;
  #unanswered = 0; // when the first ping was sent after which nothing came; 0 if there is none

  constructor(ping, silent) {
    this.#timer = setInterval(() => {
      const now = performance.now();
      if (this.#unanswered && now - this.#unanswered >= PATIENCE - EVERY / 2) return silent();
      this.#unanswered ||= now;
      return ping();
    }, EVERY);
  }

  /** Note that something came from the server. */
  heard() {
    this.#unanswered = 0;
  }

  stop() {
    clearInterval(this.#timer);
  }
}
