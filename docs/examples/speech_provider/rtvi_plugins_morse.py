"""A TTS, an STT and a VAD for Morse code. They need no vendor and understand each other."""

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
    """Speaks in Morse code."""

    pitch: float = 600.0

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        """Yield each word and its time, sentence by sentence."""
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
    """Return the tones of a word and the silence after it."""
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
    """Speaks in Morse code."""
    yield MorseTTS()


@options(morse_tts)
def voice(tts: MorseTTS, /, pitch: Annotated[float, ge(200), le(2000), Doc("The pitch in Hz.")] = 600.0) -> None:
    """Set the sound."""
    tts.pitch = pitch


# ---- recognition -----------------------------------------------------------------------------------------------------


@define
class MorseSTT:
    """Reads Morse code."""

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        """Yield an interim transcript after each word, and a final one at the end of the audio."""
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
    """Return whether there is a tone."""
    samples = array("h", audio.data)
    return math.sqrt(sum(each * each for each in samples) / max(1, len(samples))) > 1_500


def read(loud: bool, frames: int) -> str:
    """Return the sign for this many frames of tone or silence. A dot has three frames."""
    if loud:
        return "." if frames < 6 else "-"
    return "" if frames < 6 else " " if frames < 15 else "/"


def decode(marks: str) -> str:
    """Return the words. Skip unknown signs."""
    words = ("".join(LETTERS.get(each, "") for each in word.split()) for word in marks.split("/"))
    return " ".join(word for word in words if word)


@service("stt", "morse")
@asynccontextmanager
async def morse_stt() -> AsyncGenerator[MorseSTT]:
    """Reads Morse code."""
    yield MorseSTT()


# ---- voice activity --------------------------------------------------------------------------------------------------


@define
class MorseVAD:
    """Detects tones."""

    def speech_probability(self, frame: Audio, /) -> float:
        """Return 1 or 0. A model returns values between them."""
        return float(is_loud(frame))


@service("vad", "morse")
@asynccontextmanager
async def morse_vad() -> AsyncGenerator[MorseVAD]:
    """Detects tones."""
    yield MorseVAD()
