"""The frames that pass between this process and the one in which espeak runs; nothing here reads or writes.

A frame is a head of nine bytes (length of the payload, kind, id of the request) and a payload. Standard library
only, because both ends use it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

__all__ = ("FIRST", "Decoder", "Frame", "Kind", "ProtocolError", "encode", "pack_word", "unpack_word")

_HEAD = struct.Struct(">IBI")
_WORD = struct.Struct(">II")

#: No frame has more payload, in bytes: the longest are 60 ms of audio, a request of some hundred characters, and
#: the list of voices.
_LONGEST = 1 << 20

#: The id of the first request. Ids grow, so that "this one and all before it" is one number; 0 is nobody's.
FIRST = 1


class Kind(IntEnum):
    """What a frame says, and what its payload is."""

    SPEAK = 1  # request: JSON, the fields of `Order`
    CANCEL = 2  # request: nothing; this request is given up
    READY = 3  # the first reply: JSON, the fields of `Welcome`
    STARTED = 4  # nothing; the request has been taken
    WORD = 5  # `pack_word`; comes before the audio that the word begins in
    AUDIO = 6  # 16-bit little-endian PCM, mono
    DONE = 7  # nothing; all of the request has been said
    FAILED = 8  # nothing; the request cannot be carried out


class Frame(NamedTuple):
    """One message. `id` is the request's that it is about."""

    kind: Kind
    id: int
    payload: bytes = b""


class ProtocolError(Exception):
    """What was read is no frame, so nothing after it can be either."""


def encode(frame: Frame) -> bytes:
    """The bytes of a frame."""
    if len(frame.payload) > _LONGEST:
        raise ProtocolError(f"a payload of {len(frame.payload)} bytes is longer than {_LONGEST}")
    return _HEAD.pack(len(frame.payload), frame.kind, frame.id) + frame.payload


class Decoder:
    """Frames from bytes that come in pieces of any size."""

    def __init__(self) -> None:
        self._unread = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete with these bytes. `ProtocolError` where there is none."""
        self._unread += data
        while len(self._unread) >= _HEAD.size:
            length, kind, id = _HEAD.unpack_from(self._unread)
            if length > _LONGEST or kind not in _KINDS:
                raise ProtocolError(f"no frame begins with {bytes(self._unread[: _HEAD.size])!r}")
            end = _HEAD.size + length
            if len(self._unread) < end:
                return
            payload = bytes(self._unread[_HEAD.size : end])
            del self._unread[:end]
            yield Frame(_KINDS[kind], id, payload)


_KINDS = {int(kind): kind for kind in Kind}


def pack_word(position: int, sample: int) -> bytes:
    """The payload of a WORD: its first character, from 0, and the sample of the request's audio where it starts."""
    return _WORD.pack(max(position, 0), max(sample, 0))


def unpack_word(payload: bytes) -> tuple[int, int]:
    """The position and the sample that were packed."""
    position, sample = _WORD.unpack(payload)
    return position, sample
