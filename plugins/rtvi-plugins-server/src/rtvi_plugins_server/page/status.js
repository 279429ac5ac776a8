// Show the state of the call: its text, the large button, and the controls of the microphone.

import { STATES } from "./turns.js";

/**
 * Show a state of the page in its elements. `now` is the state of the conversation, `microphone` whether the bot listens,
 * `hasMicrophone` whether there is one to send from.
 */
export function showStatus(ui, { now, calling, connected, microphone, hasMicrophone, talking }) {
  const pushing = hasMicrophone && talking.pushing;
  ui.state.dataset.state = ui.ring.dataset.state = now;
  ui.state.textContent = stateText(now, hasMicrophone, talking);
  ui["talk-label"].textContent = calling ? (connected ? "Hang up" : "Cancel") : microphone ? "Talk" : "Connect";
  ui.talk.classList.toggle("live", calling);
  ui["push-to-talk"].closest(".switch-row").hidden = !microphone || (connected && !hasMicrophone);
  showMute(ui.mute, { pushing, talking, hasMicrophone });
  ui.mute.disabled = !connected || !microphone;
  if (connected && !hasMicrophone) ui.mute.textContent = "Use the microphone";
}

function stateText(now, hasMicrophone, talking) {
  if (now !== "listening" || (hasMicrophone && talking.heard)) return STATES[now];
  return hasMicrophone && talking.pushing ? "Hold the space bar to speak" : "Ready";
}

function showMute(mute, { pushing, talking, hasMicrophone }) {
  mute.classList.toggle("hold", pushing);
  mute.classList.toggle("held", pushing && talking.held);
  if (pushing) mute.removeAttribute("aria-pressed");
  else mute.setAttribute("aria-pressed", String(hasMicrophone && talking.muted));
  mute.textContent = pushing ? "Hold to speak" : talking.muted ? "Muted" : "Mute";
}
