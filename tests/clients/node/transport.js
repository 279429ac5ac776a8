// RTVI as JSON text frames over a WebSocket, for the Transport class of any published client.
//
// No published transport speaks it: they carry protobuf frames or a data channel. A Transport is what the clients ask
// an application to bring, so this leaves them unmodified. Everything about microphones and cameras is absent.

import WebSocket from "ws"; // Node 20 has no WebSocket of its own

const LABEL = "rtvi-ai";

/** Adds to a client's abstract Transport what all generations share. */
export const overTextSocket = (Transport) =>
  class TextSocketTransport extends Transport {
    #socket;

    // 0.2 and later hand these over after construction; 0.1 does so in the constructor of its Transport.
    initialize(options, onMessage) {
      this._options = options;
      this._callbacks = options.callbacks ?? {};
      this._onMessage = onMessage;
      this._state = "disconnected";
    }

    get state() {
      return this._state;
    }

    set state(state) {
      if (state === this._state) return;
      this._state = state;
      this._callbacks.onTransportStateChanged?.(state);
    }

    async initDevices() {
      this.state = "initialized";
    }

    /** Opens the socket. Rejects when the server refuses the upgrade. */
    async open(url) {
      this.state = "connecting";
      this.#socket = new WebSocket(url, { perMessageDeflate: false });
      this.#socket.on("message", (data, isBinary) => this.#received(data, isBinary));
      await new Promise((resolve, reject) => this.#socket.once("open", resolve).once("error", reject));
      this.#socket.on("close", (code, reason) => this.#closed(code, String(reason)));
      this.state = "connected";
      this._callbacks.onConnected?.();
    }

    #received(data, isBinary) {
      if (isBinary) throw new Error("the server sent a binary frame to a client that speaks text");
      const { label, id, type, data: payload } = JSON.parse(data);
      // As every published transport does: what lacks the label never reaches the client, nor do unknown keys.
      if (label === LABEL) this._onMessage({ id, label, type, data: payload });
    }

    #closed(code, reason) {
      this.closed = { code, reason };
      this.state = "disconnected";
      this._callbacks.onDisconnected?.();
    }

    async close() {
      this.state = "disconnecting";
      const socket = this.#socket;
      if (!socket || socket.readyState === WebSocket.CLOSED) return;
      const closed = new Promise((resolve) => socket.once("close", resolve));
      socket.close(1000);
      await closed;
    }

    sendMessage(message) {
      this.#socket.send(JSON.stringify(message));
    }

    tracks() {
      return { local: {} };
    }
  };
