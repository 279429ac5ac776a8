// What every page plays, kept as samples with the time at which they were played. Runs before the page's own scripts.
//
// Two roads lead to the speakers: an audio node that is connected to its context's destination, and a media element
// with a stream. A tape runs for each context and for each stream that plays.

{
  const LOUD = 0.003; // above what a codec leaves in silence
  const tapes = [];

  async function run(tape, track) {
    // Far more than it ever lags behind: what does not fit is dropped.
    const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 1000 }).readable.getReader();
    for (;;) {
      const { done, value: piece } = await reader.read();
      if (done) return;
      const samples = new Float32Array(piece.numberOfFrames);
      piece.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
      tape.rate = piece.sampleRate;
      // The samples of a piece have been played when it is handed over.
      const at = performance.now() - (1000 * samples.length) / piece.sampleRate;
      tape.pieces.push({ at, samples });
      if (samples.some((sample) => Math.abs(sample) > LOUD)) tape.loud = at;
      piece.close();
    }
  }

  function record(track, road) {
    const tape = { road, rate: 0, pieces: [], loud: -Infinity, failure: null };
    tapes.push(tape);
    run(tape, track).catch((error) => (tape.failure = String(error)));
  }

  const connect = AudioNode.prototype.connect;
  const disconnect = AudioNode.prototype.disconnect;
  const taps = new WeakMap();

  function tap(context) {
    if (!taps.has(context)) {
      const node = new MediaStreamAudioDestinationNode(context, { channelCount: 1 });
      taps.set(context, node);
      record(node.stream.getAudioTracks()[0], "context");
    }
    return taps.get(context);
  }

  const isSpeaker = (node) => node instanceof AudioDestinationNode && node.context instanceof AudioContext;

  AudioNode.prototype.connect = function (target, ...rest) {
    if (isSpeaker(target)) connect.call(this, tap(target.context));
    return connect.call(this, target, ...rest);
  };

  AudioNode.prototype.disconnect = function (target, ...rest) {
    if (isSpeaker(target)) disconnect.call(this, tap(target.context));
    return target === undefined ? disconnect.call(this) : disconnect.call(this, target, ...rest);
  };

  const heard = new WeakSet();

  function listen({ target }) {
    if (!(target.srcObject instanceof MediaStream) || target.muted) return;
    for (const track of target.srcObject.getAudioTracks()) {
      if (!heard.has(track)) record(track, "element");
      heard.add(track);
    }
  }

  const play = HTMLMediaElement.prototype.play;
  HTMLMediaElement.prototype.play = function () {
    this.addEventListener("playing", listen);
    return play.call(this);
  };
  // An element with `autoplay` is never told to play; in the document its events can be seen.
  document.addEventListener("playing", listen, true);

  const base64 = (samples) => {
    let bytes = "";
    const view = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
    for (let i = 0; i < view.length; i += 0x8000) bytes += String.fromCharCode(...view.subarray(i, i + 0x8000));
    return btoa(bytes);
  };

  function pcm(pieces) {
    const all = new Int16Array(pieces.reduce((sum, { samples }) => sum + samples.length, 0));
    let at = 0;
    for (const { samples } of pieces)
      for (const sample of samples) all[at++] = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
    return base64(all);
  }

  window.ear = {
    /** What was played since then: for each tape its rate, its 16-bit samples, and the time and length of each piece. */
    since(time) {
      return tapes.map(({ road, rate, pieces, failure }) => {
        const kept = pieces.filter(({ at }) => at >= time);
        return { road, rate, failure, pieces: kept.map(({ at, samples }) => [at, samples.length]), pcm: pcm(kept) };
      });
    },

    /** Resolves once something was heard since then, and so many milliseconds ago, with when that was. */
    async sound(since, milliseconds = 0, seconds = 20) {
      const deadline = performance.now() + 1000 * seconds;
      const isLoud = (sample) => Math.abs(sample) > LOUD;
      for (let first = Infinity; ; ) {
        for (const { pieces } of tapes) {
          for (let i = pieces.length - 1; i >= 0 && pieces[i].at >= since; i--) {
            if (pieces[i].at < first && pieces[i].samples.some(isLoud)) first = pieces[i].at;
          }
        }
        if (first + milliseconds <= performance.now()) return first;
        if (performance.now() > deadline) throw new Error(`nothing was heard within ${seconds} s`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },

    /** Resolves once nothing has been heard for so many milliseconds. */
    async silent(milliseconds, seconds = 30) {
      const deadline = performance.now() + 1000 * seconds;
      while (tapes.some(({ loud }) => loud > performance.now() - milliseconds)) {
        if (performance.now() > deadline) throw new Error(`not silent within ${seconds} s`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return performance.now();
    },
  };
}
