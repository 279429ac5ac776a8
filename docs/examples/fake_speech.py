"""Fast replacements for `pocketsphinx`, `espeak` and `silero`, under the same names, for tests of voice bots."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from rtvi_plugins import options, service
from rtvi_plugins_echo.stt import EchoSTT
from rtvi_plugins_echo.tts import EchoTTS
from rtvi_plugins_echo.vad import EchoVAD

#: The transcripts that the recogniser will return, one line for each utterance.
lines: deque[str] = deque()


@service("stt", "pocketsphinx")
@asynccontextmanager
async def stt() -> AsyncGenerator[EchoSTT]:
    """Returns the lines as transcripts."""
    yield EchoSTT(lines)


@service("tts", "espeak")
@asynccontextmanager
async def tts() -> AsyncGenerator[EchoTTS]:
    """Speaks a tone of 0.1 s for each word."""
    yield EchoTTS()


@options(tts)
def voice(tts: EchoTTS, /, voice: str = "en-us") -> None:
    """Accept the name of a voice. The tone stays the same."""


@service("vad", "silero")
@asynccontextmanager
async def vad() -> AsyncGenerator[EchoVAD]:
    """Treats loud sound as speech."""
    yield EchoVAD()
