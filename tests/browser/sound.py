"""The audio that a page has played, as samples on the page's clock, and the pitch and length of voices."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import soxr  # type: ignore[import-untyped]
from attrs import frozen

__all__ = ("LOUD", "Played", "Samples", "Tape", "fundamental", "resampled", "span", "trimmed")

Samples: TypeAlias = npt.NDArray[np.int16]

#: Above the noise that a codec leaves in silence, far below speech; of 32768.
LOUD = 300


@frozen
class Tape:
    """What one audio context or media element has played. `times` has the time of each sample, in milliseconds."""

    rate: int
    samples: Samples
    times: npt.NDArray[np.float64]

    @classmethod
    def of(cls, recording: Mapping[str, Any]) -> Tape:
        """Return the tape from the page's data. Raise `RuntimeError` if the tape broke."""
        if recording["failure"]:
            raise RuntimeError(f"A tape of what was played broke: {recording['failure']}")
        rate = int(recording["rate"]) or 1
        pieces: Sequence[tuple[float, int]] = recording["pieces"]
        times = [at + np.arange(length) * 1000 / rate for at, length in pieces]
        samples = np.frombuffer(base64.b64decode(recording["pcm"]), np.int16)
        return cls(rate, samples, np.concatenate(times) if times else np.zeros(0))

    def between(self, start: float, end: float) -> Tape:
        """Return what was played between two times."""
        kept = (self.times >= start) & (self.times < end)
        return Tape(self.rate, self.samples[kept], self.times[kept])

    def loud(self) -> npt.NDArray[np.float64]:
        """Return when it was not silent."""
        found: npt.NDArray[np.float64] = self.times[np.abs(self.samples.astype(np.int32)) > LOUD]
        return found


@frozen
class Played:
    """Everything that a page has played. A bot has one voice, so at most one of the tapes is not silent."""

    tapes: Sequence[Tape]

    def voice(self) -> Tape:
        """Return the tape that is not silent."""
        found = [tape for tape in self.tapes if tape.loud().size]
        if len(found) != 1:
            raise AssertionError(f"{len(found)} of {len(self.tapes)} tapes have sound; one should have.")
        return found[0]


def resampled(samples: Samples, rate: int, to: int) -> Samples:
    """Return the same sound at another rate."""
    made: Samples = samples if rate == to else cast("Any", soxr).resample(samples, rate, to)
    return made


def trimmed(samples: Samples) -> Samples:
    """Return the part from the first sound to the last."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > LOUD)
    return samples[loud[0] : loud[-1] + 1] if loud.size else samples[:0]


def span(samples: Samples, rate: int) -> float:
    """Return the seconds from the first sound to the last."""
    return len(trimmed(samples)) / rate


def fundamental(samples: Samples, rate: int) -> float:
    """Return the pitch of a voice in Hz: the median of its voiced parts."""
    sound = resampled(samples, rate, 8000).astype(np.float64)
    found = [_pitch(sound[at : at + 400], 8000) for at in range(0, len(sound) - 400, 200)]
    voiced = [pitch for pitch in found if pitch]
    return float(np.median(voiced)) if voiced else 0.0


def _pitch(frame: npt.NDArray[np.float64], rate: int) -> float:
    """Return the pitch of 50 ms, between 60 and 400 Hz, or 0 if it is unvoiced or too quiet."""
    frame = frame - frame.mean()
    if np.sqrt(np.mean(frame**2)) < LOUD:
        return 0.0
    likeness = np.correlate(frame, frame, "full")[len(frame) - 1 :]
    low, high = rate // 400, rate // 60
    period = low + int(np.argmax(likeness[low:high]))
    return rate / period if likeness[period] > 0.5 * likeness[0] else 0.0
