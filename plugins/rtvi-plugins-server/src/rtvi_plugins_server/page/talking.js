// When the microphone is heard: muting, and push-to-talk by the space bar or a button that is held.

const FIELDS = "input, textarea, select, [contenteditable]";

/** Decides whether the microphone is heard; `onChange(heard)` is told after each change, also of how. */
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

  /** Whether there is a microphone to be heard. Whoever holds on when it goes must press anew when it is back. */
  set active(on) {
    this.#active = on;
    if (!on) this.#held = false;
  }

  mute(muted) {
    this.#muted = muted;
    this.#tell();
  }

  /** Push-to-talk on or off. */
  push(on) {
    this.#pushing = on;
    this.#held = false;
    this.#tell();
  }

  hold(on) {
    if (!this.#pushing || !this.#active || this.#held === on) return;
    this.#held = on;
    this.#tell();
  }

  /** A switch for push-to-talk. */
  useSwitch(box) {
    box.addEventListener("change", () => {
      this.push(box.checked);
      // After a click the next press of the space bar is meant for the bot; whoever got here by keyboard stays.
      if (!box.matches(":focus-visible")) box.blur();
    });
  }

  /** A button that talks while it is held. */
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
    // Otherwise the page would scroll, or the button that has the focus would be pressed.
    event.preventDefault();
    if (!event.repeat) this.hold(down);
  }

  #tell() {
    this.onChange(this.heard);
  }
}
