"""What a worker and the process that started it say to each other over the worker's stdin and stdout.

A frame is a kind of one byte, the number of the utterance that it belongs to, the length of the body, and the body.
Every reply names its utterance, so that what an abandoned one still had coming is told from what the next one asks.
"""

from __future__ import annotations

import struct

__all__ = ("AUDIO", "END", "HEADER", "HEARD", "INTERIM", "READY", "START", "frame")

#: To the worker: a new utterance (JSON; it drops the one before), 16 kHz PCM, "what so far?", "that was all".
START, AUDIO, INTERIM, END = b"S", b"A", b"I", b"E"

#: From the worker: its models are loaded (utterance 0), and what it heard (JSON): one for each INTERIM and each END.
READY, HEARD = b"R", b"H"

HEADER = struct.Struct("<cII")


def frame(kind: bytes, utterance: int, body: bytes = b"") -> bytes:
    """The bytes of one frame."""
    return HEADER.pack(kind, utterance, len(body)) + body
