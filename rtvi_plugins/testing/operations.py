"""The requests that the conformance kit makes of each kind, and what it expects of the pieces."""

from __future__ import annotations

import math
from array import array
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, get_args

from ..kinds import Audio, LLMPiece, LLMRequest, STTPiece, STTRequest, Text, ToolCall, TTSPiece, TTSRequest, Word
from ..voice.streams import ReplayableStream
from .conversing import CONVERSING
from .operation import Operation

__all__ = (
    "OPERATIONS",
    "SENTENCES",
    "Operation",
    "frame",
    "problems_of_audio",
    "problems_of_order",
    "speech",
    "text_of",
)

#: What a TTS is asked to say.
SENTENCES: Final = ("One, two, three, four.", "This is another sentence.")

_RATE, _SAMPLES = 16_000, 512


def text_of(*sentences: str) -> AsyncIterator[str]:
    """Return sentences as a provider receives them."""
    return ReplayableStream(list(sentences), ended=True).read()


def frame(number: int) -> Audio:
    """Return a frame of a sound like a vowel: 32 ms, 16 kHz, mono."""
    times = (each / _RATE for each in range(number * _SAMPLES, (number + 1) * _SAMPLES))
    waves = (sum(math.sin(2 * math.pi * 120 * n * each) / n for n in (1, 2, 3, 5, 8)) for each in times)
    return Audio(array("h", [round(5000 * each) for each in waves]).tobytes(), _RATE)


def speech() -> AsyncIterator[Audio]:
    """Return an utterance: 0.6 s of sound, and 0.4 s of silence."""
    silence = Audio(bytes(2 * _SAMPLES), _RATE)
    return ReplayableStream([*(frame(each) for each in range(20)), *[silence] * 12], ended=True).read()


#: The operations of the built-in kinds that stream.
OPERATIONS: Final[Mapping[str, Operation]] = {
    "llm": Operation(
        "respond",
        get_args(LLMPiece),
        (Text, ToolCall),
        lambda: LLMRequest([{"role": "user", "content": "Hello. Who are you?"}]),
    ),
    "tts": Operation("synthesize", get_args(TTSPiece), (Audio,), lambda: TTSRequest(text_of(*SENTENCES))),
    # A sound without words needs no transcript.
    "speech": CONVERSING,
    "stt": Operation("transcribe", get_args(STTPiece), (), lambda: STTRequest(speech())),
}


def problems_of_audio(pieces: Sequence[Any]) -> str | None:
    """Return what is wrong with the format of a stream's audio."""
    audio = [each for each in pieces if isinstance(each, Audio)]
    for each in audio:
        if each.rate <= 0 or each.channels <= 0:
            return f"a piece has the rate {each.rate} and {each.channels} channels"
        if len(each.data) % (2 * each.channels):
            return f"a piece has {len(each.data)} bytes, which is no multiple of {2 * each.channels}"
    formats = {(each.rate, each.channels) for each in audio}
    return f"one stream has several formats (rate, channels): {sorted(formats)}" if len(formats) > 1 else None


def problems_of_order(pieces: Sequence[Any], alone: Sequence[Sequence[Any]]) -> str | None:
    """Return what is wrong with the order of speech. `alone` has the pieces of each sentence on its own."""
    words = [each for each in pieces if isinstance(each, Word)]
    for before, after in pairwise(words):
        if after.start < before.start:
            return f"the word {after.text!r} starts at {after.start:g} s, after {before.text!r} at {before.start:g} s"
    text, at = " ".join(SENTENCES).lower(), 0
    for each in words:
        place = text.find(each.text.strip().lower(), at)
        if place < 0:
            return f"the word {each.text!r} comes out of order"
        at = place
    begin, *others = (_pcm(each)[:_COMPARED] for each in alone)
    spoken = _pcm(pieces)[:_COMPARED]
    if len(begin) == _COMPARED and spoken != begin and spoken in others:
        return "the audio begins with the second sentence"
    return None


#: How many bytes of audio are compared. Voices that speak each time a little differently never match.
_COMPARED: Final = 2_000


def _pcm(pieces: Sequence[Any]) -> bytes:
    """Return the audio without the silence at its beginning."""
    return b"".join(each.data for each in pieces if isinstance(each, Audio)).lstrip(b"\0")
