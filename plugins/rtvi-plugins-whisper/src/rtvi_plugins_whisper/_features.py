"""Audio to what Whisper hears: the logarithm of its loudness, in bands of the mel scale, every 10 ms.

The numbers are those that the models were trained with: windows of 25 ms, a range of 8 powers of ten.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ("RATE", "features")

RATE = 16000
_WINDOW, _STEP = 400, 160

#: The longest that the encoder takes: 30 s.
_MOST_FRAMES = 3000

#: The mel scale is linear up to 1 kHz, which is 15 mel, and logarithmic above.
_BREAK_HERTZ, _BREAK_MEL, _OCTAVE = 1000.0, 15.0, math.log(6.4) / 27

Floats = NDArray[np.float32]


def features(samples: Floats, silence: float, bands: int) -> Floats:
    """Return the features of samples between -1 and 1, with some seconds of silence after them: bands x frames.

    Audio after 30 s is left out. The number of frames is even, as the encoder needs it.
    """
    sound = np.concatenate([samples, np.zeros(round(silence * RATE), np.float32)])[: _MOST_FRAMES * _STEP]
    padded = np.pad(sound, _WINDOW // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_STEP]
    windows = windows[: len(sound) // _STEP // 2 * 2]
    power = np.abs(np.fft.rfft(windows * _hann(), axis=1)).astype(np.float32) ** 2
    loudness = np.log10(np.maximum(_filters(bands) @ power.T, 1e-10))
    return np.ascontiguousarray((np.maximum(loudness, loudness.max() - 8) + 4) / 4, dtype=np.float32)


@cache
def _hann() -> Floats:
    return np.hanning(_WINDOW + 1)[:-1].astype(np.float32)


@cache
def _filters(bands: int) -> Floats:
    """Return the weights of the frequencies in each band: triangles of the same area, evenly spaced in mel."""
    top = _BREAK_MEL + math.log(RATE / 2 / _BREAK_HERTZ) / _OCTAVE
    mels: Floats = np.linspace(0, top, bands + 2, dtype=np.float32)
    logarithmic = _BREAK_HERTZ * np.exp(_OCTAVE * (mels - _BREAK_MEL))
    corners: Floats = np.where(mels < _BREAK_MEL, mels * _BREAK_HERTZ / _BREAK_MEL, logarithmic)
    frequencies: Floats = np.linspace(0, RATE / 2, _WINDOW // 2 + 1, dtype=np.float32)
    widths: Floats = np.diff(corners)[:, None]
    distances: Floats = corners[:, None] - frequencies
    rising: Floats = -distances[:-2] / widths[:-1]
    falling: Floats = distances[2:] / widths[1:]
    triangles: Floats = np.maximum(0, np.minimum(rising, falling))
    return np.asarray(triangles * 2 / (corners[2:] - corners[:-2])[:, None], dtype=np.float32)
