// What a client was told, in order, and waiting for it: the one place where a check waits for something unsolicited.

export class Inbox {
  #items = [];
  #waiting = new Set();

  push(item) {
    this.#items.push(item);
    for (const look of [...this.#waiting]) look();
  }

  clear() {
    this.#items = [];
  }

  /** Resolves with what `find(items)` returns as soon as that is neither undefined nor false. */
  until(find, what, seconds = 10) {
    return new Promise((resolve, reject) => {
      const settle = (finish, value) => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        finish(value);
      };
      const look = () => {
        const found = find(this.#items);
        if (found !== undefined && found !== false) settle(resolve, found);
      };
      const timer = setTimeout(() => {
        const heard = JSON.stringify(this.#items).slice(-600);
        settle(reject, new Error(`waited ${seconds} s for ${what}; the client was told ${heard}`));
      }, seconds * 1000);
      this.#waiting.add(look);
      look();
    });
  }
}

/** The bot's side of a typed conversation, as pieces of text between `started` and `stopped`. */
export class Hearing extends Inbox {
  started = () => this.push({ event: "started" });
  stopped = () => this.push({ event: "stopped" });
  text = (text) => this.push({ event: "text", text });

  /** Resolves with the text since `clear()` once it matches. */
  says(pattern, seconds) {
    return this.until((items) => {
      const said = joined(items);
      return pattern.test(said) && said;
    }, `the bot to say ${pattern}`, seconds);
  }

  /** Resolves, with everything it said since `clear()`, once the bot has ended every answer that it began. */
  ends(seconds) {
    const count = (items, event) => items.filter((item) => item.event === event).length;
    return this.until((items) => {
      const begun = count(items, "started");
      return begun > 0 && begun === count(items, "stopped") && joined(items);
    }, "the bot to end its answer", seconds);
  }

  /** The order of events since `clear()`, with repetitions of text left out. */
  order() {
    return this.until((items) => items.map((item) => item.event).filter((e, i, all) => e !== all[i - 1]), "anything");
  }
}

const joined = (items) => items.map((item) => item.text ?? "").join("").trim();
