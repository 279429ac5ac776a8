"""The frames between the bot's process and the one in which Piper runs.

The format is that of `rtvi_plugins.helper_process`. The helper process imports this module, so it uses the standard
library alone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import BinaryIO

__all__ = ("Kind", "encode", "read_frames")

_HEADER = struct.Struct(">IBI")


class Kind(IntEnum):
    """The kind of a frame, which determines its payload."""

    LOAD = 1  # request: JSON, a voice; load it, if it is not loaded
    SPEAK = 2  # request: JSON, a voice, the text and the parameters
    CANCEL = 3  # request: empty; stop the request of this id
    STARTED = 4  # empty; the request has begun
    WORDS = 5  # JSON: a list of words, each with the sample at which it starts
    AUDIO = 6  # 16-bit little-endian PCM, mono
    DONE = 7  # empty; the request was carried out
    FAILED = 8  # text for the operator; the request cannot be carried out


def encode(kind: Kind, id: int, payload: bytes = b"") -> bytes:
    """Return the bytes of a frame."""
    return _HEADER.pack(len(payload), kind, id) + payload


def read_frames(source: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """Yield the kind, the id and the payload of each frame, until the stream ends, also in the middle of a frame."""
    while len(header := source.read(_HEADER.size)) == _HEADER.size:
        length, kind, id = _HEADER.unpack(header)
        payload = source.read(length)
        if len(payload) < length:
            return
        yield kind, id, payload
