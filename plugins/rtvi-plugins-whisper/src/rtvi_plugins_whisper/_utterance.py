"""The audio of one utterance: which part is still to be recognised, and when an interim transcript is due."""

from __future__ import annotations

import numpy as np
from attrs import define, field

from ._features import RATE

__all__ = ("Utterance",)

#: An interim transcript is due after this much more audio, in seconds, and after this share of the audio: each
#: recognises the whole again, so they become rarer in a long utterance.
_BETWEEN_INTERIMS, _GROWTH = 0.6, 0.25

#: The model takes 30 s at once. Longer audio is cut before this many seconds, at the quietest moment of the last ones.
_LONGEST, _SEARCHED, _QUIET = 26.0, 8.0, 0.2

_BYTES = 2 * RATE


@define
class Utterance:
    """Audio as it comes: 16 kHz, mono, s16le."""

    pcm: bytearray = field(factory=bytearray)
    _recognised: int = 0

    def add(self, pcm: bytes) -> None:
        """Add audio."""
        self.pcm += pcm

    def interim_due(self) -> bool:
        """Return whether enough was added since this last returned True."""
        wait = max(_BETWEEN_INTERIMS * _BYTES, _GROWTH * self._recognised)
        if len(self.pcm) - self._recognised < wait:
            return False
        self._recognised = len(self.pcm)
        return True

    def cut(self) -> bytes | None:
        """Remove and return the beginning, if the audio is too long for one recognition; None if it is not."""
        if len(self.pcm) < _LONGEST * _BYTES:
            return None
        at = _quietest(self.pcm)
        beginning = bytes(self.pcm[:at])
        del self.pcm[:at]
        self._recognised = 0
        return beginning


def _quietest(pcm: bytearray) -> int:
    """Return the byte at which the quietest moment of the last seconds is."""
    first = int((_LONGEST - _SEARCHED) * RATE)
    samples = np.frombuffer(bytes(pcm), np.int16)[first : int(_LONGEST * RATE)].astype(np.float32)
    size = int(_QUIET * RATE)
    loudness = np.add.reduceat(np.square(samples), np.arange(0, len(samples), size))
    return 2 * (first + int(loudness.argmin()) * size + size // 2)
