// Read and write the protobuf frames of the WebSocket transport. Only the kinds audio and message are needed.

const MESSAGE = 4;
const AUDIO = 2;
const LENGTH_DELIMITED = 2;
const VARINT = 0;

/** Return the bytes of a frame with one RTVI message, given as JSON text. */
export function encodeMessage(text) {
  return delimited(MESSAGE, delimited(1, new TextEncoder().encode(text)));
}

/** Return the bytes of an audio frame, from s16le samples as bytes: 16 kHz, mono. */
export function encodeAudio(pcm) {
  const name = new TextEncoder().encode("audio");
  return delimited(AUDIO, join([delimited(2, name), delimited(3, pcm), number(4, 16000), number(5, 1)]));
}

/**
 * Read a frame: `{message}` with JSON text, `{audio}`, or null for a kind that clients do not need. Throws an Error for
 * invalid bytes. The rate in an audio frame is ignored, because this protocol always plays 24 kHz, mono.
 */
export function decode(bytes) {
  const frame = fields(bytes);
  if (frame.has(MESSAGE)) {
    const text = fields(expectBytes(frame.get(MESSAGE))).get(1);
    return { message: new TextDecoder("utf-8", { fatal: true }).decode(expectBytes(text ?? new Uint8Array())) };
  }
  if (!frame.has(AUDIO)) return null;
  const samples = fields(expectBytes(frame.get(AUDIO))).get(3);
  return { audio: expectBytes(samples ?? new Uint8Array()) };
}

function expectBytes(value) {
  if (!(value instanceof Uint8Array)) throw new Error("A frame holds a number where bytes belong.");
  return value;
}

// ---- writing

function delimited(field, bytes) {
  return join([varint(field * 8 + LENGTH_DELIMITED), varint(bytes.length), bytes]);
}

function number(field, value) {
  return join([varint(field * 8 + VARINT), varint(value)]);
}

function varint(value) {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return Uint8Array.from([...bytes, value]);
}

function join(parts) {
  const joined = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

// ---- reading

/** Return the fields of a message by number. Of a repeated field, the last one counts, as in protobuf. */
function fields(bytes) {
  const found = new Map();
  const reader = { bytes, at: 0 };
  while (reader.at < bytes.length) {
    const tag = readVarint(reader);
    found.set(Math.floor(tag / 8), readValue(reader, tag % 8));
  }
  return found;
}

function readValue(reader, wireType) {
  switch (wireType) {
    case VARINT:
      return readVarint(reader);
    case LENGTH_DELIMITED:
      return readBytes(reader, readVarint(reader));
    case 1:
      return readBytes(reader, 8);
    case 5:
      return readBytes(reader, 4);
    default:
      throw new Error(`A frame has a field of the unknown wire type ${wireType}.`);
  }
}

function readVarint(reader) {
  let value = 0;
  for (let place = 1; ; place *= 128) {
    if (reader.at >= reader.bytes.length || place > 2 ** 63) throw new Error("A frame breaks off in a number.");
    const byte = reader.bytes[reader.at++];
    value += (byte % 128) * place;
    if (byte < 128) return value;
  }
}

function readBytes(reader, length) {
  const end = reader.at + length;
  if (end > reader.bytes.length) throw new Error("A frame breaks off before its end.");
  const bytes = reader.bytes.subarray(reader.at, end);
  reader.at = end;
  return bytes;
}
