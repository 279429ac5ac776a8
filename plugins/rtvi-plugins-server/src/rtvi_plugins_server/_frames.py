"""The binary frames of the published WebSocket transport: protobuf to and from texts and audio.

One WebSocket message is one `Frame`. Of its kinds, `message` carries an RTVI message as JSON text and `audio` carries
PCM, both ways. The others (`text`, `transcription`, `interruption`, and what later versions add) mean nothing here, so
they are not defined: protobuf passes over what it does not know.

The descriptors are built when this is imported, in a pool of their own: a process that has loaded another definition
of the same names is not disturbed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from rtvi_plugins.kinds import Audio

__all__ = ("BadAudio", "NotAFrame", "decode", "encode")

_STRING: Final = FieldDescriptorProto.TYPE_STRING
_BYTES: Final = FieldDescriptorProto.TYPE_BYTES
_UINT32: Final = FieldDescriptorProto.TYPE_UINT32
_UINT64: Final = FieldDescriptorProto.TYPE_UINT64

#: The fields of each message by their numbers, as the published transport spells them.
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
#: The kinds of a `Frame` that are used here, by their numbers; it holds one of them at most.
_KINDS: Final[Mapping[int, tuple[str, str]]] = {
    2: ("audio", "AudioRawFrame"),
    4: ("message", "MessageFrame"),
}

# From telephones to studios; anything else is a mistake, and resampling it would be work for nothing.
_LOWEST_RATE: Final = 8_000
_HIGHEST_RATE: Final = 192_000
_MOST_CHANNELS: Final = 8


class NotAFrame(ValueError):
    """These bytes are no `Frame`."""


class BadAudio(ValueError):
    """A frame of audio that cannot be played; the message says why."""


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
    pool = DescriptorPool()
    pool.AddSerializedFile(_file().SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName("pipecat.Frame"))


_Frame: Final[Any] = _frame_class()


def decode(data: bytes) -> str | Audio | None:
    """What a frame from a client carries: an RTVI message's text, audio, or None for a kind that means nothing here.

    Raises `NotAFrame` for bytes that are none, and `BadAudio` for audio that cannot be.
    """
    try:
        frame = _Frame.FromString(data)
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:  # the last two from protobuf without its C code
        raise NotAFrame(str(error)) from None
    match frame.WhichOneof("frame"):
        case "message":
            text: str = frame.message.data
            return text
        case "audio":
            return _audio(frame.audio)
        case _:
            return None


def _audio(sent: Any) -> Audio:
    data, rate, channels = sent.audio, sent.sample_rate, sent.num_channels
    if not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
        raise BadAudio(f"its sample_rate is {rate}; send {_LOWEST_RATE} to {_HIGHEST_RATE} Hz")
    if not 1 <= channels <= _MOST_CHANNELS:
        raise BadAudio(f"its num_channels is {channels}; send 1 to {_MOST_CHANNELS}")
    if len(data) % (2 * channels):
        raise BadAudio(f"its {len(data)} bytes are no whole 16-bit samples of {channels} channels")
    return Audio(data, rate, channels)


def encode(item: str | Audio, number: int) -> bytes:
    """The frame that carries an RTVI message's text, or audio; `number` tells frames of audio apart in a recording."""
    frame = _Frame()
    if isinstance(item, str):
        frame.message.data = item
    else:
        audio = frame.audio
        audio.id, audio.name = number, "audio"
        audio.audio, audio.sample_rate, audio.num_channels = item.data, item.rate, item.channels
    encoded: bytes = frame.SerializeToString()
    return encoded
