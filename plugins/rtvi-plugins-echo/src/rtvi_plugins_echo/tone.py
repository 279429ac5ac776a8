"""Make tones and measure loudness, in 16-bit PCM."""

from __future__ import annotations

import math
import sys
from array import array

from rtvi_plugins.kinds import Audio

__all__ = ("loudness", "tone")

_FULL_SCALE = 32767


def tone(hertz: float, seconds: float, rate: int, volume: float = 0.3) -> Audio:
    """Return a sine tone, mono; `rate` in Hz, `volume` from 0 to 1."""
    step, peak = 2 * math.pi * hertz / rate, volume * _FULL_SCALE
    samples = array("h", (round(peak * math.sin(step * index)) for index in range(round(seconds * rate))))
    return Audio(_little_endian(samples).tobytes(), rate)


def loudness(audio: Audio) -> float:
    """Return the root mean square of the samples, from 0 (silence) to 1 (full scale)."""
    samples = array("h")
    samples.frombytes(audio.data[: len(audio.data) // 2 * 2])
    if not samples:
        return 0.0
    return math.sqrt(sum(sample * sample for sample in _little_endian(samples)) / len(samples)) / (_FULL_SCALE + 1)


def _little_endian(samples: array[int]) -> array[int]:
    if sys.byteorder == "big":  # pragma: no cover
        samples.byteswap()
    return samples
