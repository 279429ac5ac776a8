// Mute and push-to-talk, with the space bar or a button.

const FIELDS = "input, textarea, select, [contenteditable]";

/** Decides whether the microphone's audio is sent. Calls `onChange(heard)` after each change of state or mode. */
export class Talking {
  #muted = false;
  #pushing = false;
  #held = false;
  #active = false;

  constructor({ onChange }) {
    this.onChange = onChange;
    addEventListener("keydown", (event) => this.#key(event, true));
    addEventListener("keyup", (event) => this.#key(event, false));
    addEventListener("blur", () => this.hold(false));
  }

  get heard() {
    return this.#pushing ? this.#held : !this.#muted;
  }

  get muted() {
    return this.#muted;
  }

  get pushing() {
    return this.#pushing;
  }

  get held() {
    return this.#held;
  }

  /** Set whether there is a microphone. When it returns, the user must press the key or button again. */
  set active(on) {
    this.#active = on;
    if (!on) this.#held = false;
  }

  mute(muted) {
    this.#muted = muted;
    this.#report();
  }

  /** Turn push-to-talk on or off. */
  push(on) {
    this.#pushing = on;
    this.#held = false;
    this.#report();
  }

  hold(on) {
    if (!this.#pushing || !this.#active || this.#held === on) return;
    this.#held = on;
    this.#report();
  }

  /** Connect the switch for push-to-talk. */
  useSwitch(box) {
    box.addEventListener("change", () => {
      this.push(box.checked);
      // After a click, the space bar is for the bot, so remove the focus. Keyboard users keep it.
      if (!box.matches(":focus-visible")) box.blur();
    });
  }

  /** Connect the button that sends audio while it is held. */
  useButton(button) {
    button.addEventListener("pointerdown", (event) => {
      if (!this.#pushing || !this.#active) return;
      button.setPointerCapture(event.pointerId);
      this.hold(true);
    });
    for (const type of ["pointerup", "pointercancel", "lostpointercapture"]) {
      button.addEventListener(type, () => this.hold(false));
    }
    button.addEventListener("contextmenu", (event) => this.#pushing && event.preventDefault());
  }

  #key(event, down) {
    if (event.code !== "Space" || !this.#pushing || !this.#active || event.target.closest?.(FIELDS)) return;
    // Otherwise the page would scroll, or the focused button would be pressed.
    event.preventDefault();
    if (!event.repeat) this.hold(down);
  }

  #report() {
    this.onChange(this.heard);
  }
}
