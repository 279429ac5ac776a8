// The WebRTC transport: audio on the first media line, RTVI messages on the data channel "chat".

import { Heartbeat } from "./heartbeat.js";
import { postJson, postStart, sendJson } from "./http.js";

const CANDIDATES_EVERY = 200; // ms
const OPEN_WITHIN = 20000; // ms
const RESTART = 1012; // as the close code of WebSocket: the process ends, or the session continues in another one

/** Carries a session over WebRTC. `on` holds the callbacks `text`, `stream`, `closed` and `silent`. */
export class WebRTCTransport {
  #on;
  #peer = null;
  #channel = null;
  #offers = "";
  #pc_id = null;
  #candidates = [];
  #timers = [];
  #heartbeat = null;
  #track = null;
  #enabled = false;
  #over = false;

  constructor(on) {
    this.#on = on;
  }

  get bringsAudio() {
    return false;
  }

  /** Start a session and connect to it. Rejects with an Error whose message is a sentence. */
  async open(startBody) {
    this.drop();
    const { sessionId, iceConfig, process } = await postStart("webrtc/start", startBody);
    if (this.#over) return;
    this.#offers = `${process}webrtc/sessions/${encodeURIComponent(sessionId)}/api/offer`;
    const peer = new RTCPeerConnection(iceConfig ?? {});
    this.#peer = peer;
    // The order of these is the order of the media lines. The bot's audio arrives on the first.
    peer.addTransceiver("audio", { direction: "sendrecv" });
    peer.addTransceiver("video", { direction: "sendrecv" });
    await this.#useTrack();
    if (this.#peer !== peer) return;
    this.#channel = peer.createDataChannel("chat", { ordered: true });
    peer.onicecandidate = ({ candidate }) => candidate?.candidate && this.#candidates.push(candidate);
    peer.ontrack = ({ track }) => track.kind === "audio" && this.#on.stream(new MediaStream([track]));
    peer.onconnectionstatechange = () => peer.connectionState === "failed" && this.#lost({ lost: true });
    const opened = this.#opened();
    await this.#negotiate(peer);
    if (this.#peer !== peer) return;
    this.#timers.push(setInterval(() => this.#sendCandidates(), CANDIDATES_EVERY));
    await opened;
    if (this.#peer !== peer) return;
    this.#channel.onclose = () => this.#lost({ lost: true });
    this.#heartbeat = new Heartbeat(() => this.#signal({ type: "ping" }), () => this.#on.silent());
    this.#sendTracks();
  }

  send(text) {
    if (this.#channel?.readyState === "open") this.#channel.send(text);
  }

  sendAudio() {}

  /** Send a track, or none, and report to the bot whether the microphone is on. */
  async setMicrophone(track, enabled) {
    this.#track = track;
    this.#enabled = Boolean(track) && enabled;
    if (track) track.enabled = enabled;
    await this.#useTrack();
    this.#sendTracks();
  }

  // The microphone may be ready before the connection, or long after it.
  async #useTrack() {
    const [audio] = this.#peer?.getTransceivers() ?? [];
    if (audio && audio.sender.track !== this.#track) await audio.sender.replaceTrack(this.#track);
  }

  /** Give up the connection. The session may go on over another one. */
  drop() {
    this.#timers.splice(0).forEach(clearInterval);
    this.#heartbeat?.stop();
    if (this.#channel) this.#channel.onclose = this.#channel.onmessage = null;
    this.#channel = null;
    this.#peer?.close();
    this.#peer = null;
    this.#pc_id = null;
    this.#candidates = [];
  }

  close() {
    this.#over = true;
    this.drop();
  }

  async #negotiate(peer) {
    await peer.setLocalDescription(await peer.createOffer());
    const { sdp, type } = peer.localDescription;
    const answer = await postJson(this.#offers, { sdp, type, pc_id: null, restart_pc: false });
    this.#pc_id = answer.pc_id;
    await peer.setRemoteDescription({ sdp: answer.sdp, type: answer.type });
  }

  #sendCandidates() {
    if (!this.#candidates.length) return;
    const candidates = this.#candidates.splice(0).map((each) => ({
      candidate: each.candidate,
      sdp_mid: each.sdpMid,
      sdp_mline_index: each.sdpMLineIndex,
    }));
    sendJson("PATCH", this.#offers, { pc_id: this.#pc_id, candidates }).catch((error) => console.warn(error.message));
  }

  #sendTracks() {
    [this.#enabled, false].forEach((enabled, receiver_index) => {
      this.#signal({ type: "trackStatus", receiver_index, enabled });
    });
  }

  #signal(message) {
    this.send(JSON.stringify({ type: "signalling", message }));
  }

  #opened() {
    return new Promise((resolve, reject) => {
      const sentence = "The WebRTC connection failed. Choose WebSocket instead.";
      const timer = setTimeout(() => reject(new Error(sentence)), OPEN_WITHIN);
      this.#timers.push(timer);
      this.#channel.onopen = () => (clearTimeout(timer), resolve());
      this.#channel.onmessage = ({ data }) => this.#receive(data);
    });
  }

  #receive(text) {
    this.#heartbeat?.heard();
    const message = signalling(text);
    if (!message) this.#on.text(text);
    else if (message.type !== "peerLeft") return;
    else if (message.code === RESTART) this.#lost({ lost: true, reason: "The server is restarting." });
    else this.#lost({ clean: true, reason: "The bot has left." });
  }

  #lost({ clean = false, lost = false, reason = "The connection was lost." }) {
    if (this.#over) return;
    this.drop();
    this.#on.closed({ clean, lost, reason });
  }
}

function signalling(text) {
  try {
    const { type, message } = JSON.parse(text);
    return type === "signalling" ? message : null;
  } catch {
    return null;
  }
}
