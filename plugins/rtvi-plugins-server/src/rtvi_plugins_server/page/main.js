// The page: connects its parts. The user can call, type, choose and read.

import { ActionsPanel } from "./actions.js";
import { showBot } from "./bot.js";
import { Call } from "./call.js";
import { Choices } from "./choices.js";
import { CallTimer } from "./clock.js";
import { saveTranscript } from "./download.js";
import { byId } from "./elements.js";
import { FunctionCalls } from "./functions.js";
import { getJson, postJson } from "./http.js";
import { Meter } from "./levels.js";
import { Log } from "./log.js";
import { announce, note, say } from "./notices.js";
import { OptionsPanel } from "./options.js";
import { plot } from "./plot.js";
import { plainly } from "./problems.js";
import { returning } from "./returning.js";
import { toConfig } from "./schema.js";
import { showStatus } from "./status.js";
import { useTabs } from "./tabs.js";
import { Talking } from "./talking.js";
import { Transcript } from "./transcript.js";
import { Timings, TurnState } from "./turns.js";

const ui = Object.fromEntries(
  ["talk", "talk-label", "mute", "push-to-talk", "state", "ring", "text", "send", "composer", "welcome"]
    .concat(["transcript", "plot", "name", "about", "invitation", "save"])
    .map((id) => [id, byId(id)]),
);

let bot = { transports: ["websocket"], services: [], open: true, microphone: true };
let call = null;
let connecting = null; // until the call is there, or has failed
let connected = false;

// ---- the parts

const talking = new Talking({ onChange: (heard) => (call?.speak(heard), show()) });
const state = new TurnState(() => show());
const timings = new Timings();
const { lost, isBack } = returning(state, () => show());
const userMeter = new Meter(byId("user-level"), (level) => ui.ring.style.setProperty("--user-level", level.toFixed(3)));
const botMeter = new Meter(byId("bot-level"), (level) => ui.ring.style.setProperty("--bot-level", level.toFixed(3)));
const transcript = new Transcript(ui.transcript, { announce: (text) => announce(`Bot: ${text}`) });
const start = () => choices.forPrograms();
const timer = new CallTimer(byId("duration"));
const options = new OptionsPanel(byId("options"), { onConfig: (values) => choices.took(values, options), start });
const actions = new ActionsPanel(byId("actions"), { connect: connectedSession, start });
const choices = new Choices(byId("choices"), { switchProvider, onChoose: preview });
const functions = new FunctionCalls({
  insert: (element) => (welcome(false), transcript.insert(element)),
  can: (name) => actions.has("bot", name),
  run: (name, args) => call.session.action("bot", name, args),
  answer: (result) => call.session.send("llm-function-call-result", result),
});
const showTab = (name) => byId(`tab-${name}`).click();
const logParts = ["filter", "direction", "copy", "clear", "status"].map((name) => [name, byId(`log-${name}`)]);
const log = new Log({ list: byId("log"), ...Object.fromEntries(logParts) });

// ---- calling

function connect({ microphone }) {
  connecting ??= open({ microphone });
  return connecting;
}

/** Call the bot. Return true when it is connected. The microphone may follow later, when the user allows it. */
async function open({ microphone }) {
  say("");
  note("");
  const changes = options.changes();
  if (!changes) return refusedOptions();
  state.set("connecting");
  const mine = new Call(choices.transport, {
    event: (type, data) => call === mine && took(type, data),
    seen: (direction, message) => log.add(direction, message),
    closed: (how) => call === mine && left(how),
    lost: () => call === mine && lost(),
    userLevel: (rms) => userMeter.set(rms),
    botLevel: (rms) => botMeter.set(rms),
    microphoneLost: () => call === mine && microphoneLost(),
  });
  call = mine;
  showCall();
  try {
    if (microphone) openMicrophone(mine);
    await mine.open({ services: choices.services, config: toConfig(changes) });
  } catch (error) {
    mine.close();
    if (call !== mine) return false;
    left({ clean: false, reason: error.message });
    if (changes.length && options.refused(error, changes)) showTab("options");
    return false;
  }
  if (call !== mine) return false;
  connected = true;
  connecting = null;
  timer.start();
  announce("Connected.");
  if (state.now === "connecting") state.set("listening");
  showCall();
  describe(mine);
  return true;
}

function refusedOptions() {
  connecting = null;
  showTab("options");
  say("An option is not valid. See the error beside its field.");
  return false;
}

/** Return the session of the call, after connecting if there is none; null if that fails. */
async function connectedSession() {
  const there = connected || (await connect({ microphone: false }));
  return there ? call.session : null;
}

/** Show the options and actions of the session that a call would start. */
async function preview() {
  try {
    const described = await postJson("describe", { services: choices.services });
    choices.providers(described.providers);
    if (call) return;
    options.preview(described["config-available"], described.config);
    actions.show(described["actions-available"]);
  } catch (error) {
    if (call) return;
    options.fail(error.message);
    actions.fail(error.message);
  }
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
  show();
}

function microphoneLost() {
  talking.active = false;
  note("The microphone was disconnected. You can still type.");
  show();
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
  timer.stop();
  actions.close();
  functions.clear();
  preview();
  showCall();
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
  resumed: isBack,
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
  timings.typed(text);
  call.session.sendText(text);
  ui.text.focus();
}

// ---- showing

function show() {
  const has = Boolean(call?.hasMicrophone);
  const calling = call !== null;
  showStatus(ui, { now: state.now, calling, connected, microphone: bot.microphone, hasMicrophone: has, talking });
}

function showCall() {
  choices.lock(call !== null, connected);
  show();
}

function muteClicked() {
  if (!call) return;
  if (!call.hasMicrophone) openMicrophone(call);
  else if (!talking.pushing) talking.mute(!talking.muted);
}

function welcome(shown) {
  ui.welcome.hidden = !shown;
  ui.save.disabled = shown;
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
  timings.kinds = Object.fromEntries(bot.services.map(({ name, kind }) => [name, kind]));
  choices.offer(bot);
  showBot(ui, bot);
  showCall();
  if (bot.open) return preview();
  options.fail("Only the operator can see the options.");
  actions.fail("Only the operator can see the actions.");
}

ui.talk.addEventListener("click", () => (call ? hangUp() : connect({ microphone: bot.microphone })));
ui.mute.addEventListener("click", muteClicked);
ui.save.addEventListener("click", () => saveTranscript(ui.transcript, bot.name));
ui.composer.addEventListener("submit", write);
addEventListener("pointerdown", () => call?.resume());
addEventListener("pagehide", () => call && hangUp()); // the browser may show this very page again
addEventListener("resize", drawPlot);
talking.useButton(ui.mute);
talking.useSwitch(ui["push-to-talk"]);
useTabs(document.querySelector("[role=tablist]"), { onShow: () => (drawPlot(), log.shown()) });
drawPlot();
begin();
