"""Fakes of the services of the recipes with several voices. They keep the values that they are set to."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from attrs import define
from rtvi_plugins import options, service
from rtvi_plugins.kinds import (
    LLMPiece,
    LLMRequest,
    STTPiece,
    STTRequest,
    Text,
    ToolCall,
    Transcript,
    TTSPiece,
    TTSRequest,
)
from rtvi_plugins_echo.tone import tone
from rtvi_plugins_echo.vad import EchoVAD

#: What was spoken, each time with the voice; and the languages of the recogniser.
spoken: list[tuple[str, str]] = []
heard: list[str] = []


@define
class Voice:
    """Speaks each sentence as a tone of 0.2 s."""

    voice: str = ""

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        """Keep the voice and the text."""
        async for text in request.text:
            spoken.append((self.voice, text))
            yield tone(440, 0.2, 16_000, 0.3)


@service("tts", "espeak")
@asynccontextmanager
async def espeak() -> AsyncGenerator[Voice]:
    """A voice."""
    yield Voice()


@options(espeak)
def set_voice(tts: Voice, /, voice: str = "en-us") -> None:
    """Set the voice."""
    tts.voice = voice


@define
class Recogniser:
    """Recognises one sentence."""

    language: str = ""

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        """Keep the language."""
        async for _ in request.audio:
            pass
        heard.append(self.language)
        yield Transcript("Auf Deutsch, bitte. Wie spät ist es?", final=True)


@service("stt", "whisper")
@asynccontextmanager
async def whisper() -> AsyncGenerator[Recogniser]:
    """A recogniser."""
    yield Recogniser()


@options(whisper)
def set_language(stt: Recogniser, /, language: str = "en") -> None:
    """Set the language."""
    stt.language = language


@define
class Assistant:
    """Changes the language first, then answers."""

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Call `speak` as long as there is no prompt of a persona, then answer."""
        if request.messages[0]["role"] != "system":
            yield ToolCall("1", "speak", {"language": "de"})
        else:
            yield Text("Es ist 15:30 Uhr.")


@service("llm", "openai")
@asynccontextmanager
async def openai() -> AsyncGenerator[Assistant]:
    """An assistant."""
    yield Assistant()


@service("vad", "silero")
@asynccontextmanager
async def silero() -> AsyncGenerator[EchoVAD]:
    """Treats loud sound as speech."""
    yield EchoVAD()
