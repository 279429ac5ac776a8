// The WebSocket transport: RTVI messages and audio as protobuf frames over one socket.

import { decode, encodeAudio, encodeMessage } from "./frames.js";
import { Heartbeat } from "./heartbeat.js";
import { postStart } from "./http.js";

const HEARTBEAT = new Uint8Array(); // a page cannot send the pings of WebSocket; the server answers with the same

/** Carries a session over a WebSocket. `on` holds the callbacks `text`, `audio`, `closed` and `silent`. */
export class WebSocketTransport {
  #on;
  #socket = null;
  #heartbeat = null;
  #over = false;

  constructor(on) {
    this.#on = on;
  }

  /** Whether the page itself plays the bot's audio, piece by piece. */
  get bringsAudio() {
    return true;
  }

  /** Start a session and open its socket. Rejects with an Error whose message is a sentence. */
  async open(startBody) {
    this.drop();
    const { token, process } = await postStart("start", startBody);
    if (this.#over) return;
    const socket = new WebSocket(address(process, token));
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onclose = () => reject(new Error("The server refused the connection. Try to connect again."));
    });
    if (this.#socket !== socket) return socket.close(DROPPED);
    socket.onmessage = (event) => this.#receive(event.data);
    const heartbeat = new Heartbeat(() => this.#send(HEARTBEAT), () => this.#on.silent());
    this.#heartbeat = heartbeat;
    socket.onclose = ({ code, reason }) => {
      heartbeat.stop();
      if (this.#socket !== socket) return;
      this.#on.closed({ clean: code === 1000, lost: LOST.includes(code), reason: reasonOf({ code, reason }) });
    };
  }

  send(text) {
    this.#send(encodeMessage(text));
  }

  /** Send 16 kHz mono s16le samples, as bytes. */
  sendAudio(pcm) {
    this.#send(encodeAudio(pcm));
  }

  #send(bytes) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(bytes);
  }

  /** Do nothing. When the microphone is off, no audio is sent, and the server treats that as silence. */
  setMicrophone() {}

  /** Give up the connection. The session may go on over another one. */
  drop() {
    this.#heartbeat?.stop();
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(DROPPED);
  }

  close() {
    this.#over = true;
    this.#heartbeat?.stop();
    this.#socket?.close(1000);
  }

  #receive(data) {
    this.#heartbeat.heard();
    if (!data.byteLength) return;
    try {
      const frame = decode(new Uint8Array(data));
      if (frame?.message !== undefined) this.#on.text(frame.message);
      else if (frame) this.#on.audio(frame.audio);
    } catch (error) {
      console.warn("ignored an invalid frame:", error.message);
    }
  }
}

// Relative to this page, so that it works behind a path prefix and with http and https.
function address(process, token) {
  const url = new URL(`${process}ws`, document.baseURI);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.searchParams.set("token", token);
  return url;
}

/** Sent with a connection that is given up: not one of those that say that the client leaves. */
const DROPPED = 4000;

/** The close codes after which the session goes on, if the server saves sessions. */
const LOST = [1001, 1006, 1012];

const REASONS = {
  1006: "The connection was lost.",
  1008: "The server ended the conversation.",
  1011: "The bot failed. The server's log has the reason.",
  1012: "The server is restarting.",
};

function reasonOf(event) {
  const said = event.reason ? `${event.reason[0].toUpperCase()}${event.reason.slice(1).replace(/\.?$/, ".")}` : "";
  if (event.code === 1000) return said || "The bot has left.";
  return [REASONS[event.code] ?? "The connection was closed.", said].filter(Boolean).join(" ");
}
