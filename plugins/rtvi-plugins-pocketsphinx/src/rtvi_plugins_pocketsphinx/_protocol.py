"""The frames between the bot's process and a worker.

The format is that of `rtvi_plugins.helper_process`. This module uses the standard library alone, because the worker
imports it.
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

    START = 1  # to the worker: JSON; begin an utterance, and drop the one before
    AUDIO = 2  # to the worker: 16 kHz PCM
    INTERIM = 3  # to the worker: empty; reply with what was heard so far
    END = 4  # to the worker: empty; the utterance has ended, reply with what was heard
    READY = 5  # from the worker, with id 0: empty; its models are loaded
    HEARD = 6  # from the worker: JSON; one reply to each INTERIM and END


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
