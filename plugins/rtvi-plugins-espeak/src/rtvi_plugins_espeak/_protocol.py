"""The frames between the bot's process and the one in which espeak runs.

The format is that of `rtvi_plugins.helper_process`. This module uses the standard library alone, because the helper
process imports it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import BinaryIO

__all__ = ("Kind", "encode", "pack_word", "read_frames", "unpack_word")

_HEADER = struct.Struct(">IBI")
_WORD = struct.Struct(">II")

#: The longest payload of a request, in bytes. A request has some hundred characters.
_LONGEST = 1 << 20


class Kind(IntEnum):
    """The kind of a frame, which determines its payload."""

    SPEAK = 1  # request: JSON, the text and the voice parameters
    CANCEL = 2  # request: empty; stop this request
    READY = 3  # the first reply: JSON, the rate and the voices
    STARTED = 4  # empty; the request has begun
    WORD = 5  # `pack_word`; comes before the audio in which the word begins
    AUDIO = 6  # 16-bit little-endian PCM, mono
    DONE = 7  # empty; the whole request has been spoken
    FAILED = 8  # empty; the request cannot be carried out


def encode(kind: Kind, id: int, payload: bytes = b"") -> bytes:
    """Return the bytes of a frame."""
    return _HEADER.pack(len(payload), kind, id) + payload


def read_frames(source: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """Yield kind, id and payload of each frame, until the source ends. Raise `ValueError` for anything else."""
    while len(header := source.read(_HEADER.size)) == _HEADER.size:
        length, kind, id = _HEADER.unpack(header)
        if length > _LONGEST:
            raise ValueError(f"a payload of {length} bytes is too long")
        payload = source.read(length)
        if len(payload) < length:
            return
        yield kind, id, payload


def pack_word(position: int, sample: int) -> bytes:
    """Return the payload of a WORD: its first character, from 0, and the sample of the request at which it starts."""
    return _WORD.pack(max(position, 0), max(sample, 0))


def unpack_word(payload: bytes) -> tuple[int, int]:
    """Return the position and the sample of a WORD."""
    position, sample = _WORD.unpack(payload)
    return position, sample
