"""Stand-ins for providers that hear and speak, under their names: with them a spoken bot runs anywhere, in no time."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from rtvi_plugins import service
from rtvi_plugins_echo.stt import EchoSTT
from rtvi_plugins_echo.tts import EchoTTS
from rtvi_plugins_echo.vad import EchoVAD

#: What the user will be heard to have said, one line for each utterance.
lines: deque[str] = deque()


@service("stt", "pocketsphinx")
@asynccontextmanager
async def stt() -> AsyncGenerator[EchoSTT]:
    """Hears the lines."""
    yield EchoSTT(lines)


@service("tts", "espeak")
@asynccontextmanager
async def tts() -> AsyncGenerator[EchoTTS]:
    """Speaks in tones of 0.1 s, one for each word."""
    yield EchoTTS()


@service("vad", "silero")
@asynccontextmanager
async def vad() -> AsyncGenerator[EchoVAD]:
    """Takes what is loud for speech."""
    yield EchoVAD()
