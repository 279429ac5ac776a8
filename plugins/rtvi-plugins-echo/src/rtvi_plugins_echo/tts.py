"""The provider `echo` of kind `tts`: beeps once for each word, and remembers the texts."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

from anyio.lowlevel import checkpoint
from attrs import define, field
from attrs.validators import ge, le

from rtvi_plugins import Doc, action, options, service
from rtvi_plugins.kinds import TTSPiece, TTSRequest, Usage, Word

from .tone import tone

__all__ = ("EchoTTS", "configure", "echo_tts", "said")

#: How many texts are kept, so that a long session does not grow.
_MOST_REMEMBERED = 100


@define
class EchoTTS:
    """Speaks in tones: real audio, whose length depends on the number of words. `sample_rate` in Hz."""

    sample_rate: int = 16000
    pitch: float = 440.0
    seconds_per_word: float = 0.1
    said: deque[str] = field(factory=lambda: deque[str](maxlen=_MOST_REMEMBERED))

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        """Yield each word and its tone as soon as its piece of text arrives."""
        start, characters = 0.0, 0
        async for text in request.text:
            self.said.append(text)
            characters += len(text)
            for word in text.split():
                yield Word(word, start)
                beep = tone(self.pitch, self.seconds_per_word, self.sample_rate)
                yield beep
                start += beep.seconds
                await checkpoint()
        yield Usage(characters=characters, model="echo")


@service("tts", "echo")
@asynccontextmanager
async def echo_tts(
    sample_rate: Annotated[int, ge(8000), le(48000), Doc("The sample rate of the audio, in Hz.")] = 16000,
) -> AsyncGenerator[EchoTTS]:
    """Speaks in tones."""
    yield EchoTTS(sample_rate)


@options(echo_tts)
def configure(
    tts: EchoTTS,
    /,
    pitch: Annotated[float, ge(50), le(4000), Doc("Frequency of the tone, in Hz.")] = 440.0,
    seconds_per_word: Annotated[float, ge(0.01), le(2), Doc("Length of the tone for a word, in seconds.")] = 0.1,
) -> None:
    """Set the sound of the tones."""
    tts.pitch, tts.seconds_per_word = pitch, seconds_per_word


@action(echo_tts)
async def said(tts: EchoTTS, /) -> list[str]:
    """Return the last hundred pieces of text that this session spoke, the oldest first."""
    return list(tts.said)
