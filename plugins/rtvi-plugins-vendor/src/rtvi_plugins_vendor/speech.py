"""Helpers for speech vendors: audio in batches, whole samples, and the times of words.

::

    speech = Speech("acme", rate=24_000)
    ...
    for word in speech.words(["Hello", "there."], [0.0, 0.4]):
        yield word
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any
from uuid import uuid4

from attrs import define, field

from rtvi_plugins.kinds import Audio, Pause, Word

from ._connection import Outgoing
from .failures import malformed_answers

__all__ = ("FRAMES", "CountedAudio", "Samples", "Speech", "audio_messages", "texts_to_speak", "words_of")

#: How many frames of 32 ms are sent in one message. Fewer messages cost less, and 96 ms are soon enough.
FRAMES = 3


@define(eq=False)
class CountedAudio(AsyncIterator[Audio | Pause]):
    """The audio of a request, and its length so far in seconds. Vendors charge for it."""

    audio: AsyncIterator[Audio | Pause]
    _seconds: float = field(default=0.0, init=False)

    @property
    def seconds(self) -> float:
        return round(self._seconds, 6)

    async def __anext__(self) -> Audio | Pause:
        each = await anext(self.audio)
        if isinstance(each, Audio):
            self._seconds += each.seconds
        return each


async def audio_messages(
    audio: AsyncIterator[Audio | Pause],
    *,
    pause: Outgoing | None = None,
    end: Outgoing | None = None,
    least: int = 0,
    frames: int = FRAMES,
) -> AsyncGenerator[Outgoing]:
    """Yield the PCM of some `frames` at a time, `pause` for each `Pause`, and `end` when the audio has ended.

    Silence is added to a message that would have less than `least` bytes.
    """
    batch: list[bytes] = []

    def rest() -> bytes:
        data = b"".join(batch)
        batch.clear()
        return data + bytes(max(0, least - len(data)))

    async for each in audio:
        if isinstance(each, Audio):
            batch.append(each.data)
            if len(batch) == frames:
                yield rest()
            continue
        if batch:
            yield rest()
        if pause is not None:
            yield pause
    if batch:
        yield rest()
    if end is not None:
        yield end


async def texts_to_speak(text: AsyncIterator[str]) -> AsyncIterator[str] | None:
    """Wait for the first text that is not blank. Return an iterator of all texts, or None if all are blank.

    Some vendors never answer a request without text, so do not send one.
    """
    async for first in text:
        if first.strip():
            return _Texts(text, first)
    return None


@define(eq=False)
class _Texts(AsyncIterator[str]):
    """Texts that are not blank. It is not a generator, because nobody would close that."""

    text: AsyncIterator[str]
    first: str = ""

    async def __anext__(self) -> str:
        found, self.first = self.first, ""
        while not found.strip():
            found = await anext(self.text)
        return found


@define(eq=False)
class Samples:
    """Makes `Audio` with whole frames of 16-bit samples of the bytes that a vendor sends."""

    rate: int
    channels: int = 1
    #: The length of all audio so far, in seconds.
    seconds: float = field(default=0.0, init=False)
    _rest: bytes = field(default=b"", init=False)

    def take(self, data: bytes | str) -> list[Audio]:
        """Return the audio of these bytes, or of a base64 text: one piece, or none. Half a frame is kept.

        Raise `ValueError` if a text is not base64.
        """
        data = self._rest + (b64decode(data, validate=True) if isinstance(data, str) else data)
        whole = len(data) - len(data) % (2 * self.channels)
        self._rest = data[whole:]
        if not whole:
            return []
        audio = Audio(data[:whole], self.rate, self.channels)
        self.seconds += audio.seconds
        return [audio]


@define(eq=False)
class Speech:
    """The audio and the words of one request of a TTS. Malformed values raise `ProviderError`."""

    provider: str
    rate: int
    channels: int = 1
    #: A new name for the request, for vendors that want one.
    context: str = field(factory=lambda: uuid4().hex, init=False)
    #: When the words begin whose times count from 0, in seconds of audio.
    _began: float = field(default=0.0, init=False)
    _samples: Samples = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin without audio."""
        self._samples = Samples(self.rate, self.channels)

    @property
    def seconds(self) -> float:
        """The length of all audio so far, in seconds."""
        return self._samples.seconds

    def audio(self, data: bytes | str) -> list[Audio]:
        """Return the audio of these bytes, or of a base64 text: one piece, or none. Half a frame is kept."""
        with malformed_answers(self.provider):
            return self._samples.take(data)

    def words(
        self, texts: Sequence[str], starts: Sequence[float], ends: Sequence[float] | None = None, *, unit: float = 1.0
    ) -> list[Word]:
        """Return words with their times, which count from the start of the request or from the last `restart`.

        `unit` is the length of a unit of the vendor's times, in seconds: 0.001 for milliseconds.
        """
        with malformed_answers(self.provider):
            return _words(texts, starts, ends, unit, self._began)

    def words_of(
        self, objects: Sequence[Any], text: str, start: str, end: str | None = None, *, unit: float = 1.0
    ) -> list[Word]:
        """Return words as `words` does, from one object for each word. `text`, `start` and `end` name the fields."""
        with malformed_answers(self.provider):
            return _words(*_columns(objects, text, start, end), unit, self._began)

    def restart(self) -> None:
        """Count the times of the next words from here, for vendors that count them from the start of a sentence."""
        self._began = self.seconds


def words_of(
    provider: str, objects: Sequence[Any], text: str, start: str, end: str | None = None, *, unit: float = 1.0
) -> list[Word]:
    """Return the words of a transcript, from one object for each word. `text`, `start` and `end` name its fields.

    `unit` is the length of a unit of the vendor's times, in seconds: 0.001 for milliseconds. What is malformed is a
    `ProviderError`. The words of a TTS come from `Speech`.
    """
    with malformed_answers(provider):
        return _words(*_columns(objects, text, start, end), unit, 0.0)


def _columns(
    objects: Sequence[Any], text: str, start: str, end: str | None
) -> tuple[list[Any], list[Any], list[Any] | None]:
    ends = None if end is None else [each[end] for each in objects]
    return [each[text] for each in objects], [each[start] for each in objects], ends


def _words(
    texts: Sequence[Any], starts: Sequence[float], ends: Sequence[float] | None, unit: float, began: float
) -> list[Word]:
    times = zip(texts, starts, starts if ends is None else ends, strict=True)
    return [
        Word(text, began + start * unit, None if ends is None else began + end * unit) for text, start, end in times
    ]
