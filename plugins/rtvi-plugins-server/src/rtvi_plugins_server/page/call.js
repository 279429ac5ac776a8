// One call: a transport, its session, and the audio in both directions.

import { openMicrophone } from "./microphone.js";
import { openPlayer, playStream } from "./player.js";
import { Session } from "./session.js";
import { WebRTCTransport } from "./webrtc.js";
import { WebSocketTransport } from "./websocket.js";

const ATTEMPT_WITHIN = 10000; // ms; for each attempt to resume a session
const LONGEST_DELAY = 2000; // ms; all clients of a server that has failed come back at once
const LOST = "The connection was lost.";
const ENDED = "The conversation has ended.";
const TRANSPORTS = { websocket: WebSocketTransport, webrtc: WebRTCTransport };

/**
 * A call to the bot. `on` holds the callbacks `event(type, data)`, `seen(direction, message)`,
 * `closed({clean, reason})`, `lost()`, `microphoneLost()`, `userLevel(rms)` and `botLevel(rms)`.
 */
export class Call {
  #on;
  #transport;
  #microphone = null;
  #player = null;
  #asking = null; // the microphone, while the browser asks the user
  #speaking = false;
  #ready = false;
  #over = false;
  #comingBack = false; // the connection was lost, and the session is not resumed yet
  #giveUp = () => {};
  #abandon = () => {}; // the present attempt to resume

  constructor(transport, on) {
    this.#on = on;
    this.#transport = new TRANSPORTS[transport]({
      text: (text) => this.session.receive(text),
      audio: (bytes) => this.#player?.play(bytes),
      stream: (stream) => this.#use(playStream(stream, { level: on.botLevel })),
      closed: (how) => this.#closed(how),
      silent: () => this.session.resume && this.#closed({ clean: false, lost: true, reason: LOST }),
    });
    this.session = new Session((text) => this.#transport.send(text), {
      event: (type, data) => this.#event(type, data),
      seen: on.seen,
    });
  }

  get hasMicrophone() {
    return this.#microphone !== null;
  }

  /** Connect, and return when the bot is ready. Call it from a click, because browsers block audio otherwise. */
  open(startBody) {
    return new Promise((resolve, reject) => {
      // A closed call may never get an answer, so stop waiting.
      this.#giveUp = () => reject(new Error(ENDED));
      this.#connect(startBody).then(resolve, reject);
    });
  }

  async #connect(startBody) {
    // Without an audio device, everything else works.
    if (this.#transport.bringsAudio) this.#use(await openPlayer({ level: this.#on.botLevel }).catch(() => null));
    if (this.#over) return;
    await this.#transport.open(startBody);
    if (this.#over) return;
    await this.session.ready();
    this.#ready = true;
  }

  /** Ask for the microphone. Rejects with an Error whose message is the reason. */
  openMicrophone() {
    this.#asking ??= this.#openMicrophone().finally(() => (this.#asking = null));
    return this.#asking;
  }

  async #openMicrophone() {
    const microphone = await openMicrophone({ piece: (bytes) => this.#piece(bytes), level: (rms) => this.#heard(rms) });
    if (this.#over) return microphone.close();
    this.#microphone = microphone;
    microphone.track.onended = () => this.#lost(microphone);
    await this.speak(this.#speaking);
  }

  async #lost(microphone) {
    microphone.close();
    this.#microphone = null;
    this.#on.userLevel(0);
    this.#on.microphoneLost();
    await this.speak(this.#speaking);
  }

  /** Send the microphone's audio to the bot, or stop sending it. */
  async speak(on) {
    this.#speaking = on;
    if (!on) this.#on.userLevel(0);
    await this.#transport.setMicrophone(this.#microphone?.track ?? null, on);
  }

  /** Start the audio if the browser waited for a click. */
  resume() {
    this.#player?.resume()?.catch?.(() => {});
  }

  close() {
    if (this.#over) return;
    if (this.#ready) this.session.send("disconnect-bot", {});
    this.#end();
  }

  #event(type, data) {
    if (type === "bot-interrupted") this.#player?.clear();
    this.#on.event(type, data);
  }

  #piece(bytes) {
    if (this.#speaking && this.#ready) this.#transport.sendAudio(bytes);
  }

  #heard(rms) {
    this.#on.userLevel(this.#speaking ? rms : 0);
  }

  #use(player) {
    if (this.#over) return player?.close();
    if (this.#player !== player) this.#player?.close();
    this.#player = player;
  }

  #closed(how) {
    if (this.#over) return;
    if (this.#comingBack) return this.#abandon(new Error(how.reason));
    if (this.#ready && how.lost && this.session.resume) this.#comeBack(how);
    else this.#finish(how);
  }

  // Resume the session on a new connection, as long as the bot waits.
  async #comeBack(how) {
    const until = Date.now() + 1000 * this.session.resume.seconds;
    this.#comingBack = true;
    this.session.lost();
    this.#transport.drop();
    this.#player?.clear();
    this.#on.lost();
    while (!this.#over && Date.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * LONGEST_DELAY));
      if (this.#over) return;
      try {
        await this.#attempt();
        this.#comingBack = false;
        return;
      } catch (error) {
        if (error.final) break;
      }
    }
    this.#comingBack = false;
    this.#finish(how);
  }

  async #attempt() {
    let timer;
    const failed = new Promise((_, reject) => {
      this.#abandon = reject;
      timer = setTimeout(() => reject(new Error(LOST)), ATTEMPT_WITHIN);
    });
    const opened = this.#transport.open({ resume: this.session.resume.token });
    const resumed = opened.then(() => this.#over || this.session.comeBack());
    resumed.catch(() => {}); // after the attempt was abandoned
    try {
      await Promise.race([resumed, failed]);
    } catch (error) {
      this.#transport.drop();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  #finish(how) {
    if (this.#over) return;
    this.#end();
    this.#on.closed(how);
  }

  #end() {
    this.#over = true;
    this.#giveUp();
    this.session.end(ENDED);
    this.#transport.close();
    this.#microphone?.close();
    this.#player?.close();
    this.#on.userLevel(0);
    this.#on.botLevel(0);
  }
}
