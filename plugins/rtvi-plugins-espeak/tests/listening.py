"""Measure speech: its length, loudness and pitch, and its words."""

from __future__ import annotations

import math
from array import array
from collections.abc import AsyncGenerator
from contextlib import aclosing
from statistics import median

from attrs import frozen

from rtvi_plugins.kinds import Audio, TTSPiece, TTSRequest, Usage, Word
from rtvi_plugins_espeak.speech import EspeakTTS

__all__ = ("Heard", "listen", "pid_of", "texts")


@frozen
class Heard:
    """All pieces of an utterance."""

    pieces: list[TTSPiece]

    @property
    def audio(self) -> list[Audio]:
        return [piece for piece in self.pieces if isinstance(piece, Audio)]

    @property
    def words(self) -> list[Word]:
        return [piece for piece in self.pieces if isinstance(piece, Word)]

    @property
    def said(self) -> list[str]:
        return [word.text for word in self.words]

    @property
    def usage(self) -> Usage:
        last = self.pieces[-1]
        assert isinstance(last, Usage)
        return last

    @property
    def seconds(self) -> float:
        return sum(piece.seconds for piece in self.audio)

    @property
    def samples(self) -> array[int]:
        return array("h", b"".join(piece.data for piece in self.audio))

    @property
    def loudness(self) -> float:
        """Return the root mean square, from 0 to 1."""
        samples = self.samples
        return math.sqrt(sum(each * each for each in samples) / len(samples)) / 32768

    @property
    def pitch(self) -> float:
        """Return the median pitch of its voiced parts, in Hz."""
        rate, samples = 22050 // 4, self.samples[::4]
        windows = [samples[at : at + rate // 10] for at in range(0, len(samples) - rate // 10, rate // 10)]
        return rate / median(_period(window, rate) for window in windows if max(window) > 2000)


def _period(window: array[int], rate: int) -> int:
    """Return the lag, in samples, at which the window is most similar to itself, for a voice of 60 to 400 Hz."""

    def likeness(lag: int) -> float:
        pairs = list(zip(window, window[lag:], strict=False))
        return sum(one * other for one, other in pairs) / len(pairs)

    return max(range(rate // 400, rate // 60), key=likeness)


async def texts(*pieces: str) -> AsyncGenerator[str]:
    """Yield text."""
    for piece in pieces:
        yield piece


async def listen(tts: EspeakTTS, *pieces: str) -> Heard:
    """Return what is said for these pieces of text."""
    async with aclosing(texts(*pieces)) as source, aclosing(tts.synthesize(TTSRequest(source))) as speech:
        return Heard([piece async for piece in speech])


async def pid_of(tts: EspeakTTS) -> int:
    """Return the id of the process that speaks for it."""
    return (await tts.helper.open()).pid
