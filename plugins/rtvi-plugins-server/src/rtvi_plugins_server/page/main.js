// The page: connects its parts. The user can call, type, choose and read.

import { ActionsPanel } from "./actions.js";
import { Call } from "./call.js";
import { Choices } from "./choices.js";
import { byId } from "./elements.js";
import { FunctionCalls } from "./functions.js";
import { getJson } from "./http.js";
import { Meter } from "./levels.js";
import { Log } from "./log.js";
import { announce, note, say } from "./notices.js";
import { OptionsPanel } from "./options.js";
import { plot } from "./plot.js";
import { plainly } from "./problems.js";
import { useTabs } from "./tabs.js";
import { Talking } from "./talking.js";
import { Transcript } from "./transcript.js";
import { STATES, Timings, TurnState } from "./turns.js";

const ui = Object.fromEntries(
  ["talk", "talk-label", "mute", "push-to-talk", "state", "ring", "text", "send", "composer", "welcome"]
    .concat(["transcript", "plot", "name", "about", "invitation"])
    .map((id) => [id, byId(id)]),
);

let bot = { transports: ["websocket"], services: [], open: true, microphone: true };
let call = null;
let connecting = null; // until the call is there, or has failed
let connected = false;

// ---- the parts

const talking = new Talking({ onChange: (heard) => (call?.speak(heard), showMicrophone()) });
const state = new TurnState(showState);
const timings = new Timings();
const userMeter = new Meter(byId("user-level"), (level) => ui.ring.style.setProperty("--user-level", level.toFixed(3)));
const botMeter = new Meter(byId("bot-level"), (level) => ui.ring.style.setProperty("--bot-level", level.toFixed(3)));
const transcript = new Transcript(ui.transcript, { announce: (text) => announce(`Bot: ${text}`) });
const options = new OptionsPanel(byId("options"), { onConfig: (values) => choices.took(values, options) });
const actions = new ActionsPanel(byId("actions"));
const choices = new Choices(byId("choices"), { switchProvider });
const functions = new FunctionCalls({
  insert: (element) => (welcome(false), transcript.insert(element)),
  can: (name) => actions.has("bot", name),
  run: (name, args) => call.session.action("bot", name, args),
  answer: (result) => call.session.send("llm-function-call-result", result),
});
const log = new Log({
  list: byId("log"),
  filter: byId("log-filter"),
  direction: byId("log-direction"),
  copy: byId("log-copy"),
  clear: byId("log-clear"),
  status: byId("log-status"),
});

// ---- calling

function connect({ microphone }) {
  connecting ??= open({ microphone });
  return connecting;
}

/** Call the bot. Return true when it is connected. The microphone may follow later, when the user allows it. */
async function open({ microphone }) {
  say("");
  note("");
  state.set("connecting");
  const mine = new Call(choices.transport, {
    event: (type, data) => call === mine && took(type, data),
    seen: (direction, message) => log.add(direction, message),
    closed: (how) => call === mine && left(how),
    userLevel: (rms) => userMeter.set(rms),
    botLevel: (rms) => botMeter.set(rms),
    microphoneLost: () => call === mine && microphoneLost(),
  });
  call = mine;
  showCall();
  try {
    if (microphone) openMicrophone(mine);
    await mine.open(choices.startBody());
  } catch (error) {
    mine.close();
    if (call === mine) left({ clean: false, reason: error.message });
    return false;
  }
  if (call !== mine) return false;
  connected = true;
  connecting = null;
  announce("Connected.");
  if (state.now === "connecting") state.set("listening");
  showCall();
  showMicrophone();
  describe(mine);
  return true;
}

async function openMicrophone(mine) {
  talking.active = true;
  note("");
  try {
    await mine.speak(talking.heard);
    await mine.openMicrophone();
  } catch (error) {
    if (call !== mine) return;
    talking.active = false;
    note(`${error.message} You can still type.`);
  }
  showMicrophone();
}

function microphoneLost() {
  talking.active = false;
  note("The microphone was disconnected. You can still type.");
  showMicrophone();
}

async function describe(mine) {
  try {
    await actions.open(mine.session);
    await options.open(mine.session);
  } catch (error) {
    if (call === mine) say(error.message);
  }
}

function hangUp() {
  call?.close();
  left({ clean: true, reason: "" });
}

function left({ clean, reason }) {
  call = null;
  connected = talking.active = false;
  connecting = null;
  state.set("offline");
  options.close();
  actions.close();
  functions.clear();
  showCall();
  showMicrophone();
  (clean ? note : say)(reason);
  announce("Disconnected.");
}

/** Clear the previous conversation, which stayed readable until the new one started. */
function forget() {
  transcript.clear();
  timings.clear();
  drawPlot();
}

function took(type, data) {
  state.take(type, data);
  if (/^(user-|bot-(llm|output|tts))/.test(type)) welcome(false);
  transcript.take(type, data);
  functions.take(type, data);
  if (timings.take(type, data)) drawPlot();
  OTHERS[type]?.(data, call);
}

const OTHERS = {
  "bot-ready": forget,
  error: (data) => say(plainly(data.message ?? data.error ?? "The bot failed.")),
  "error-response": (data) => say(plainly(data.error ?? "The bot refused a message.")),
  config: (data, mine) => options.took(data).catch((error) => call === mine && say(error.message)),
  "server-message": (data) => data?.type === "job" && actions.job(data),
};

async function switchProvider(service, value) {
  const mine = call;
  say("");
  try {
    await options.update([{ service, name: "provider", value }]);
    await actions.open(mine.session);
    return true;
  } catch (error) {
    if (call === mine) say(error.message);
    return false;
  }
}

// ---- typing

async function write(event) {
  event.preventDefault();
  const text = ui.text.value.trim();
  if (!text) return;
  ui.send.disabled = true;
  // A user who types first does not need the microphone.
  const there = connected || (await connect({ microphone: false }));
  ui.send.disabled = false;
  if (!there) return;
  ui.text.value = "";
  say("");
  welcome(false);
  transcript.typed(text);
  call.session.sendText(text);
  ui.text.focus();
}

// ---- showing

function showState(now) {
  ui.state.dataset.state = ui.ring.dataset.state = now;
  const deaf = now === "listening" && !(call?.hasMicrophone && talking.heard);
  const wait = call?.hasMicrophone && talking.pushing ? "Hold the space bar to speak" : "Ready";
  ui.state.textContent = deaf ? wait : STATES[now];
}

function showCall() {
  const here = call !== null;
  const name = here ? (connected ? "Hang up" : "Cancel") : bot.microphone ? "Talk" : "Connect";
  ui["talk-label"].textContent = name;
  ui.talk.classList.toggle("live", here);
  choices.lock(here, connected);
}

function showMicrophone() {
  const { mute } = ui;
  const has = Boolean(call?.hasMicrophone);
  mute.disabled = !connected || !bot.microphone;
  ui["push-to-talk"].closest(".switch-row").hidden = !bot.microphone || (connected && !has);
  const pushing = has && talking.pushing;
  mute.classList.toggle("hold", pushing);
  mute.classList.toggle("held", pushing && talking.held);
  if (pushing) mute.removeAttribute("aria-pressed");
  else mute.setAttribute("aria-pressed", String(has && talking.muted));
  if (connected && !has) mute.textContent = "Use the microphone";
  else if (pushing) mute.textContent = "Hold to speak";
  else mute.textContent = talking.muted ? "Muted" : "Mute";
  showState(state.now);
}

function muteClicked() {
  if (!call) return;
  if (!call.hasMicrophone) openMicrophone(call);
  else if (!talking.pushing) talking.mute(!talking.muted);
}

function welcome(shown) {
  ui.welcome.hidden = !shown;
}

function drawPlot() {
  if (!byId("timing").hidden) plot(ui.plot, timings.turns);
}

// ---- beginning

async function begin() {
  showCall();
  try {
    bot = await getJson("page.json");
  } catch (error) {
    say(error.message);
    return;
  }
  document.title = bot.name;
  ui.name.textContent = bot.name;
  ui.about.textContent = bot.description;
  timings.kinds = Object.fromEntries(bot.services.map(({ name, kind }) => [name, kind]));
  choices.offer(bot);
  ui.mute.hidden = byId("meters").hidden = !bot.microphone;
  if (!bot.microphone) ui.invitation.textContent = "This bot does not listen. Type below.";
  if (bot.open) ui.talk.disabled = false;
  else closed();
  if (bot.open && bot.microphone && !window.isSecureContext) {
    note("Browsers allow the microphone only on https pages and on localhost. You can type instead.");
  }
  showCall();
  showMicrophone();
}

function closed() {
  ui.text.disabled = ui.send.disabled = true;
  ui.welcome.replaceChildren("You cannot start this bot from this page.");
  say(
    "This bot needs the operator's secret, which must not be in a browser. To try the bot on your own machine, " +
      "run it with --dev. To allow everybody to start it, write public=True in its @bot.",
  );
}

ui.talk.addEventListener("click", () => (call ? hangUp() : connect({ microphone: bot.microphone })));
ui.mute.addEventListener("click", muteClicked);
ui.composer.addEventListener("submit", write);
addEventListener("pointerdown", () => call?.resume());
addEventListener("pagehide", () => call && hangUp()); // the browser may show this very page again
addEventListener("resize", drawPlot);
talking.useButton(ui.mute);
talking.useSwitch(ui["push-to-talk"]);
useTabs(document.querySelector("[role=tablist]"), { onShow: () => (drawPlot(), log.shown()) });
drawPlot();
begin();
