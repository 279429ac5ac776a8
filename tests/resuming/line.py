"""A bot that never stops talking and always listens. A release changes its `VERSION`.

Each call has a number, which is every sample that its bot says, and every sample that its bot may hear.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypedDict

import anyio
from attrs import define, field

from rtvi_plugins import LLM, STT, TTS, VAD, Session, action, bot, converse, options, service
from rtvi_plugins.kinds import Audio, LLMPiece, LLMRequest, STTPiece, STTRequest, Text, Transcript, TTSPiece, TTSRequest

VERSION = 1

#: One line for each effect.
LEDGER = Path(os.environ.get("LEDGER", "ledger"))
#: The rate of the bot's audio.
RATE = 24_000


def write(name: str) -> None:
    """Have an effect outside: append a line to a file."""
    with LEDGER.open("a") as file:
        file.write(f"{name}\n")


@define
class Voice:
    """Says a number: 200 sentences of three seconds."""

    number: int = 0

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Write the sentences."""
        for _ in range(200):
            yield Text("This is a sentence of about as many words as one. ")
            await anyio.lowlevel.checkpoint()

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        """Say them."""
        piece = Audio(array("h", [self.number] * (RATE // 10)).tobytes(), RATE)
        async for _ in request.text:
            for _ in range(30):
                yield piece


@define
class Ear:
    """Keeps the samples that it has heard. It never reports speech."""

    heard: set[int] = field(factory=set[int])

    def speech_probability(self, frame: Audio, /) -> float:
        """Listen."""
        self.heard.update(array("h", frame.data))
        return 0.0

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        """Hear no words."""
        async for _ in request.audio:
            pass
        yield Transcript("", final=True)


@service("llm", "line")
@asynccontextmanager
async def line_llm() -> AsyncGenerator[Voice]:
    """An LLM that gives a long answer."""
    yield Voice()


@service("tts", "line")
@asynccontextmanager
async def line_tts() -> AsyncGenerator[Voice]:
    """A TTS that says a number."""
    yield Voice()


@service("stt", "line")
@asynccontextmanager
async def line_stt() -> AsyncGenerator[Ear]:
    """An STT that hears no words."""
    yield Ear()


@service("vad", "line")
@asynccontextmanager
async def line_vad() -> AsyncGenerator[Ear]:
    """A VAD that keeps numbers."""
    yield Ear()


@options(line_tts)
def say_number(voice: Voice, /, number: int = 0) -> None:
    """Set the number of the call."""
    voice.number = number


@action(line_vad, repeatable=True)
async def heard(ear: Ear, /) -> list[int]:
    """Return all samples that were heard since the last request."""
    found, ear.heard = sorted(ear.heard), set()
    return found


@define
class Count:
    """The number of bookings of the caller."""

    booked: int = 0


class Booking(TypedDict):
    """The name of the caller, and the number of bookings."""

    version: int
    process: int
    count: int


@bot(
    services={"stt": "line", "llm": "line", "tts": "line", "vad": "line"},
    client=["tts.number", "llm:run", "vad:heard", "bot:book"],
    state=Count,
    public=True,
)
async def line(session: Session[Count], /, stt: STT, llm: LLM, tts: TTS, vad: VAD) -> None:
    """A bot that speaks and listens all the time."""
    await converse(session, stt=stt, llm=llm, tts=tts, vad=vad)


@action(line)
async def book(session: Session[Count], /, name: str) -> Booking:
    """Have an effect at once."""
    write(name)
    session.state.booked += 1
    return {"version": VERSION, "process": os.getpid(), "count": session.state.booked}
