"""The requests and replies of the process in which espeak runs, besides those of `rtvi_plugins.helper_worker`."""

from __future__ import annotations

import struct
from enum import IntEnum

__all__ = ("Kind", "pack_word", "unpack_word")

_WORD = struct.Struct(">II")


class Kind(IntEnum):
    """The kind of a frame, which determines its payload. READY has JSON: the rate, the voices and the variants."""

    SPEAK = 16  # request: JSON, the text and the voice parameters
    WORD = 17  # `pack_word`; comes before the audio in which the word begins
    AUDIO = 18  # 16-bit little-endian PCM, mono


def pack_word(position: int, sample: int) -> bytes:
    """Return the payload of a WORD: its first character, from 0, and the sample of the request at which it starts."""
    return _WORD.pack(max(position, 0), max(sample, 0))


def unpack_word(payload: bytes) -> tuple[int, int]:
    """Return the position and the sample of a WORD."""
    position, sample = _WORD.unpack(payload)
    return position, sample
