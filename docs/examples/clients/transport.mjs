// Sends RTVI as JSON text over a WebSocket. Works with every published client: extend textSocket(Transport).

export const textSocket = (Transport) =>
  class extends Transport {
    // Called by 0.2 and later. Version 0.1 passes the same arguments to the constructor.
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
      this.state = "initialized"; // no microphone: this transport carries text
    }

    async open(url) {
      this.state = "connecting";
      this.socket = new WebSocket(url);
      this.socket.onmessage = ({ data }) => {
        const message = JSON.parse(data);
        if (message.label === "rtvi-ai") this._onMessage(message);
      };
      await new Promise((resolve, reject) => Object.assign(this.socket, { onopen: resolve, onerror: reject }));
      this.socket.onclose = () => {
        this.state = "disconnected";
        this._callbacks.onDisconnected?.();
      };
      this.state = "connected";
      this._callbacks.onConnected?.();
    }

    async close() {
      if (!this.socket || this.socket.readyState === WebSocket.CLOSED) return;
      const closed = new Promise((resolve) => this.socket.addEventListener("close", resolve));
      this.socket.close();
      await closed;
    }

    sendMessage(message) {
      this.socket.send(JSON.stringify(message));
    }

    tracks() {
      return { local: {} };
    }
  };
