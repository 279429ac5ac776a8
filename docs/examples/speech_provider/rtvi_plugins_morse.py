"""Morse code: a TTS, an STT and a VAD that need no vendor, and understand each other."""

from __future__ import annotations

import math
from array import array
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

from anyio.lowlevel import checkpoint
from attrs import define
from attrs.validators import ge, le
from rtvi_plugins import Doc, ProviderError, options, service
from rtvi_plugins.kinds import Audio, STTPiece, STTRequest, Transcript, TTSPiece, TTSRequest, Usage, Word

SIGNS = ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.."
CODE = dict(zip("abcdefghijklmnopqrstuvwxyz", SIGNS.split(), strict=True))
LETTERS = {sign: letter for letter, sign in CODE.items()}

RATE = 16_000
#: A dot, in seconds: three frames of a VAD.
DOT = 0.096


# ---- speech ----------------------------------------------------------------------------------------------------------


@define
class MorseTTS:
    """Taps out text."""

    pitch: float = 600.0

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        """Each word with its time, as soon as its sentence is there."""
        start, characters = 0.0, 0
        async for text in request.text:
            if not text.isascii():
                raise ProviderError("morse", "bad-request")
            characters += len(text)
            for word in text.split():
                yield Word(word, start)
                audio = tap(word, self.pitch)
                yield audio
                start += audio.seconds
                await checkpoint()
        yield Usage(characters=characters)


def tap(word: str, pitch: float) -> Audio:
    """The tones of a word and the silence after it."""
    letters = (" ".join(CODE[each]) for each in word.lower() if each in CODE)
    samples = array("h")
    for mark in "   ".join(letters) + "       ":
        length = round(DOT * RATE) * (3 if mark == "-" else 1)
        peak = 0 if mark == " " else 8_000
        samples.extend(round(peak * math.sin(2 * math.pi * pitch / RATE * each)) for each in range(length))
    return Audio(samples.tobytes(), RATE)


@service("tts", "morse")
@asynccontextmanager
async def morse_tts() -> AsyncGenerator[MorseTTS]:
    """Taps out text."""
    yield MorseTTS()


@options(morse_tts)
def voice(tts: MorseTTS, /, pitch: Annotated[float, ge(200), le(2000), Doc("In Hz.")] = 600.0) -> None:
    """How it sounds."""
    tts.pitch = pitch


# ---- recognition -----------------------------------------------------------------------------------------------------


@define
class MorseSTT:
    """Reads what was tapped."""

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        """An interim transcript at the end of each word, and the final one when the audio ends."""
        marks, loud, frames = "", False, 0
        async for audio in request.audio:
            if is_loud(audio) == loud:
                frames += 1
                continue
            mark = read(loud, frames)
            marks, loud, frames = marks + mark, not loud, 1
            if mark == "/" and decode(marks):
                yield Transcript(decode(marks), final=False)
        yield Transcript(decode(marks + read(loud, frames)), final=True)


def is_loud(audio: Audio) -> bool:
    """Whether somebody taps."""
    samples = array("h", audio.data)
    return math.sqrt(sum(each * each for each in samples) / max(1, len(samples))) > 1_500


def read(loud: bool, frames: int) -> str:
    """What so many frames of tone or silence mean: a dot is three."""
    if loud:
        return "." if frames < 6 else "-"
    return "" if frames < 6 else " " if frames < 15 else "/"


def decode(marks: str) -> str:
    """The words; what is no sign is left out."""
    words = ("".join(LETTERS.get(each, "") for each in word.split()) for word in marks.split("/"))
    return " ".join(word for word in words if word)


@service("stt", "morse")
@asynccontextmanager
async def morse_stt() -> AsyncGenerator[MorseSTT]:
    """Reads what was tapped."""
    yield MorseSTT()


# ---- voice activity --------------------------------------------------------------------------------------------------


@define
class MorseVAD:
    """Hears tones."""

    def speech_probability(self, frame: Audio, /) -> float:
        """1 or 0; a model would say something in between."""
        return float(is_loud(frame))


@service("vad", "morse")
@asynccontextmanager
async def morse_vad() -> AsyncGenerator[MorseVAD]:
    """Hears tones."""
    yield MorseVAD()
