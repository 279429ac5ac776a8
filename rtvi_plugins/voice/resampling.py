"""Convert sample rates and channels of 16-bit PCM with soxr, which the extra `rtvi-plugins[voice]` installs.

Transports import this module when the process starts, because NumPy takes a tenth of a second to load.
"""

from __future__ import annotations

from typing import Any

from ..errors import AuthorError
from ..kinds import Audio
from ..utils.install_hint import install_hint

try:
    import numpy as np
    import soxr  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]
except ModuleNotFoundError as error:
    raise AuthorError(f"{error.name} is not installed; {install_hint('rtvi-plugins[voice]')}") from error

__all__ = ("Resampler", "to_mono")


class Resampler:
    """Converts a stream of mono 16-bit PCM from one rate to another, in Hz, with a delay of some milliseconds.

    The quality is soxr's HQ: cheaper filters let frequencies above half the new rate through, and STTs take these for
    speech.
    """

    __slots__ = ("_stream",)

    def __init__(self, rate: int, to_rate: int) -> None:
        self._stream = soxr.ResampleStream(rate, to_rate, 1, dtype="int16", quality="HQ")

    def feed(self, data: bytes, *, last: bool = False) -> bytes:
        """Add the next part of the stream, and return the samples that are ready; with `last`, all that remain."""
        samples: Any = self._stream.resample_chunk(np.frombuffer(data, "<i2"), last=last)
        return bytes(samples.astype("<i2", copy=False).tobytes())


def to_mono(audio: Audio) -> bytes:
    """Return the samples of one channel, which is the average of all."""
    if audio.channels == 1:
        return audio.data
    whole = len(audio.data) // (2 * audio.channels) * 2 * audio.channels
    samples: Any = np.frombuffer(audio.data[:whole], "<i2").reshape(-1, audio.channels)
    if audio.channels == 2:  # what WebRTC sends; far cheaper than a mean
        return bytes(((samples[:, 0] >> 1) + (samples[:, 1] >> 1)).tobytes())
    return bytes(samples.mean(axis=1).astype("<i2").tobytes())
