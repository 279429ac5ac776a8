"""The binary frames of the published WebSocket transport: protobuf to and from texts and audio.

One WebSocket message is one `Frame`. Its kind `message` carries an RTVI message as JSON text, and `audio` carries PCM,
in both directions. Other kinds (`text`, `transcription`, `interruption`, and what later versions add) are not used
here and not defined: protobuf skips unknown fields.

Frames of audio come and go fifty times a second in each session, so they have a fast path. They are written here, from
parts that are equal for all frames of a length. A received frame with the length, the beginning and the end of an
earlier one differs from it only in its samples. Everything else is read by protobuf.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from rtvi_plugins.kinds import Audio

__all__ = ("Frame", "InvalidAudio", "InvalidFrame", "decode", "encode")

_STRING: Final = FieldDescriptorProto.TYPE_STRING
_BYTES: Final = FieldDescriptorProto.TYPE_BYTES
_UINT32: Final = FieldDescriptorProto.TYPE_UINT32
_UINT64: Final = FieldDescriptorProto.TYPE_UINT64

#: The fields of each message by their numbers, with the names of the published transport.
_MESSAGES: Final[Mapping[str, Mapping[int, tuple[str, Any]]]] = {
    "AudioRawFrame": {
        1: ("id", _UINT64),
        2: ("name", _STRING),
        3: ("audio", _BYTES),
        4: ("sample_rate", _UINT32),
        5: ("num_channels", _UINT32),
        6: ("pts", _UINT64),
    },
    "MessageFrame": {1: ("data", _STRING)},
}
#: The kinds of a `Frame` that are used here, by their numbers. A frame has at most one.
_KINDS: Final[Mapping[int, tuple[str, str]]] = {
    2: ("audio", "AudioRawFrame"),
    4: ("message", "MessageFrame"),
}

# From telephones to studios. Anything else is a mistake.
_LOWEST_RATE: Final = 8_000
_HIGHEST_RATE: Final = 192_000
_MOST_CHANNELS: Final = 8


class InvalidFrame(ValueError):
    """The bytes are not a `Frame`."""


class InvalidAudio(ValueError):
    """A frame of audio that cannot be heard; the message says why."""


# ---- the protobuf classes ------------------------------------------------------------------------------------------


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="rtvi_plugins_server/frames.proto", package="pipecat", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, type) in fields.items():
            message.field.add(name=field, number=number, type=type)
    frame = file.message_type.add(name="Frame")
    frame.oneof_decl.add(name="frame")
    for number, (kind, type) in _KINDS.items():
        frame.field.add(
            name=kind,
            number=number,
            type=FieldDescriptorProto.TYPE_MESSAGE,
            type_name=f".pipecat.{type}",
            oneof_index=0,
        )
    return file


def _frame_class() -> Any:
    # In a pool of its own: the process may have loaded another definition of the same names.
    pool = DescriptorPool()
    pool.AddSerializedFile(_file().SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName("pipecat.Frame"))


#: The protobuf class of a frame.
Frame: Final[Any] = _frame_class()


# ---- reading -------------------------------------------------------------------------------------------------------

#: Frames of audio that were read before, by their length: the bytes before and after the samples, rate, and channels.
_known_frames: dict[int, tuple[bytes, bytes, int, int]] = {}
_MOST_KNOWN: Final = 32
#: Frames with a longer name are not remembered, because the name is kept. Published clients send none.
_LONGEST_NAME: Final = 64


def decode(data: bytes) -> str | Audio | None:
    """Return what a client's frame carries: the text of an RTVI message, audio, or None for a kind that is not used.

    Raise `InvalidFrame` for bytes that are not a frame, and `InvalidAudio` for audio that cannot be heard.
    """
    known = _known_frames.get(len(data))
    if known is not None:
        before, after, rate, channels = known
        if data.startswith(before) and data.endswith(after):
            return Audio(data[len(before) : len(data) - len(after)], rate, channels)
    try:
        frame = Frame.FromString(data)
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:  # the last two from protobuf without its C code
        raise InvalidFrame(str(error)) from None
    match frame.WhichOneof("frame"):
        case "message":
            text: str = frame.message.data
            return text
        case "audio":
            audio = _audio(frame.audio)
            _remember(data, audio, frame.audio.name)
            return audio
        case _:
            return None


def _audio(sent: Any) -> Audio:
    data, rate, channels = sent.audio, sent.sample_rate, sent.num_channels
    if not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
        raise InvalidAudio(f"its sample_rate is {rate}; send {_LOWEST_RATE} to {_HIGHEST_RATE} Hz")
    if not 1 <= channels <= _MOST_CHANNELS:
        raise InvalidAudio(f"its num_channels is {channels}; send 1 to {_MOST_CHANNELS}")
    if len(data) % (2 * channels):
        raise InvalidAudio(f"its {len(data)} bytes are not whole 16-bit samples of {channels} channels")
    return Audio(data, rate, channels)


def _remember(data: bytes, audio: Audio, name: str) -> None:
    """Keep the bytes around the samples, if the frame is written as `encode` would, without an id."""
    if len(name) > _LONGEST_NAME:
        return
    begin, before, after = _around(0, len(audio.data), audio.rate, audio.channels, name)
    before = begin + before
    if data == before + audio.data + after:
        if len(_known_frames) >= _MOST_KNOWN:
            _known_frames.clear()
        _known_frames[len(data)] = before, after, audio.rate, audio.channels


# ---- writing -------------------------------------------------------------------------------------------------------

#: The tags of fields: their number and type in one byte.
_AUDIO, _MESSAGE = b"\x12", b"\x22"
_ID, _NAME, _SAMPLES, _RATE, _CHANNELS = b"\x08", b"\x12", b"\x1a", b"\x20", b"\x28"
_DATA: Final = b"\x0a"


def encode(item: str | Audio, number: int) -> bytes:
    """Return the frame for the text of an RTVI message, or for audio. `number` is the id of a frame of audio."""
    if isinstance(item, str):
        text = item.encode()
        message = _DATA + _varint(len(text)) + text if text else b""
        return _MESSAGE + _varint(len(message)) + message
    id = _ID + _varint(number) if number else b""
    begin, before, after = _around_bot_audio(len(id), len(item.data), item.rate, item.channels)
    return b"".join((begin, id, before, item.data, after))


@lru_cache(maxsize=256)
def _around_bot_audio(id_size: int, length: int, rate: int, channels: int) -> tuple[bytes, bytes, bytes]:
    return _around(id_size, length, rate, channels, "audio")


def _around(id_size: int, length: int, rate: int, channels: int, name: str) -> tuple[bytes, bytes, bytes]:
    """Return the bytes before the id, between the id and samples of this length, and after the samples.

    A field that has its default value is not written.
    """
    encoded = name.encode()
    before = _NAME + _varint(len(encoded)) + encoded if encoded else b""
    before += _SAMPLES + _varint(length) if length else b""
    after = b"".join(tag + _varint(value) for tag, value in ((_RATE, rate), (_CHANNELS, channels)) if value)
    return _AUDIO + _varint(id_size + len(before) + length + len(after)), before, after


def _varint(value: int) -> bytes:
    """Return a number in groups of seven bits, the lowest first."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)
