// The microphone of every page: silent, until the test has it speak. Runs in the page before the page's own scripts.
//
// It stands for the device only: what a page asks for beside `audio`, such as echo cancellation, is left to real ones.

{
  let context, bus;

  const open = () => {
    if (context) return;
    context = new AudioContext({ sampleRate: 48000 });
    bus = new GainNode(context);
    // A context without any source may rest, and a microphone never does.
    const silence = new ConstantSourceNode(context, { offset: 0 });
    silence.connect(bus);
    silence.start();
  };

  navigator.mediaDevices.getUserMedia = async ({ audio } = {}) => {
    if (!audio) throw new DOMException("there is a microphone only", "NotFoundError");
    open();
    await context.resume();
    const device = new MediaStreamAudioDestinationNode(context, { channelCount: 1 });
    bus.connect(device);
    return device.stream;
  };

  window.microphone = {
    /** Play a WAV file, as base64, into every open microphone. Resolves at its end with when it began and ended. */
    async speak(wav) {
      open();
      await context.resume();
      const bytes = Uint8Array.from(atob(wav), (character) => character.charCodeAt(0));
      const source = new AudioBufferSourceNode(context, { buffer: await context.decodeAudioData(bytes.buffer) });
      source.connect(bus);
      const began = performance.now();
      const ended = new Promise((resolve) => (source.onended = resolve));
      source.start();
      await ended;
      return { began, ended: performance.now() };
    },
  };
}
