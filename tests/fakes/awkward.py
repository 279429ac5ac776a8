"""Services that do in each test what it has them do: hang, stop early, stumble over being cancelled, talk nonsense."""

from __future__ import annotations

import sys
from array import array
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Any, TypeAlias

import anyio
from attrs import define, field, fields

from rtvi_plugins import LLM, STT, TTS, VAD, Session, bot, converse, service
from rtvi_plugins.kinds import (
    Audio,
    LLMPiece,
    LLMRequest,
    STTPiece,
    STTRequest,
    Text,
    Transcript,
    TTSPiece,
    TTSRequest,
)
from rtvi_plugins.voice import TurnTaking

from . import scripted, spoken
from .scripted import LOOK
from .spoken import CHARACTER, LINES, RATE, samples
from .wire import connected

__all__ = (
    "CLIENT",
    "NOISE",
    "Acts",
    "acts",
    "awkward_llm",
    "awkward_session",
    "awkward_stt",
    "awkward_tts",
    "awkward_vad",
    "begin",
    "lines_in",
    "mortal_stt",
    "recognise",
    "spell",
)

#: A sound that the VAD takes for speech, and in which nobody finds words.
NOISE = 99

Respond: TypeAlias = Callable[[LLMRequest], AsyncIterator[LLMPiece]]
Synthesize: TypeAlias = Callable[[TTSRequest], AsyncIterator[TTSPiece]]
Transcribe: TypeAlias = Callable[[STTRequest], AsyncIterator[STTPiece]]


async def recognise(request: STTRequest) -> AsyncGenerator[STTPiece]:
    """What was said, at the end of the utterance; nothing for noise."""
    found = [number async for audio in request.audio for number in lines_in(audio)]
    said = [number for number, _ in groupby(found)]
    yield Transcript(" ".join(LINES[number] for number in said), final=True)


def lines_in(audio: Audio) -> list[int]:
    """The numbers of what is said in a piece of audio."""
    return [number for number, _ in groupby(array("h", audio.data)) if 0 < number < len(LINES)]


def spell(text: str) -> Audio:
    """A piece of text as speech, each character as long as that of the TTS `spell`; samples have 15 bits for it."""
    return Audio(b"".join(samples(ord(each) & 0x7FFF, CHARACTER).data for each in text), RATE)


async def _speak(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
    async for text in request.text:
        yield spell(f"{text} ")


async def _answer(request: LLMRequest) -> AsyncGenerator[LLMPiece]:
    yield Text("Fine.")


def _hear(frame: Audio) -> float:
    return float(any(array("h", frame.data)))


@define
class Acts:
    """What takes the place of each operation in this test, the manners of the bot, and its greeting."""

    llm: Respond = _answer
    tts: Synthesize = _speak
    stt: Transcribe = recognise
    vad: Callable[[Audio], float] = _hear
    taking: TurnTaking = field(factory=TurnTaking)
    greeting: str = ""
    #: A test opens it for a service that waits for it.
    gate: anyio.Event = field(factory=anyio.Event)


acts = Acts()


def begin(**how: Any) -> Acts:
    """New acts, for a new test."""
    fresh = Acts(**how)
    for each in fields(Acts):
        setattr(acts, each.name, getattr(fresh, each.name))
    return acts


# ---- services --------------------------------------------------------------------------------------------------------


class AwkwardLLM:
    """Answers as the test says."""

    def respond(self, request: LLMRequest, /) -> AsyncIterator[LLMPiece]:
        """As the test says."""
        return acts.llm(request)


class AwkwardTTS:
    """Speaks as the test says."""

    def synthesize(self, request: TTSRequest, /) -> AsyncIterator[TTSPiece]:
        """As the test says."""
        return acts.tts(request)


class AwkwardSTT:
    """Recognises as the test says."""

    def transcribe(self, request: STTRequest, /) -> AsyncIterator[STTPiece]:
        """As the test says."""
        return acts.stt(request)


class AwkwardVAD:
    """Hears as the test says."""

    def speech_probability(self, frame: Audio, /) -> float:
        """As the test says."""
        return acts.vad(frame)


@service("llm", "awkward")
@asynccontextmanager
async def awkward_llm() -> AsyncGenerator[AwkwardLLM]:
    """Says "Fine." unless it is told otherwise."""
    yield AwkwardLLM()


@service("tts", "awkward")
@asynccontextmanager
async def awkward_tts() -> AsyncGenerator[AwkwardTTS]:
    """Speaks each piece of text at once unless it is told otherwise."""
    yield AwkwardTTS()


@service("stt", "awkward")
@asynccontextmanager
async def awkward_stt() -> AsyncGenerator[AwkwardSTT]:
    """Understands all but noise unless it is told otherwise."""
    yield AwkwardSTT()


@service("vad", "awkward")
@asynccontextmanager
async def awkward_vad() -> AsyncGenerator[AwkwardVAD]:
    """Takes every sound for speech unless it is told otherwise."""
    yield AwkwardVAD()


@service("stt", "mortal")
@asynccontextmanager
async def mortal_stt() -> AsyncGenerator[AwkwardSTT]:
    """Dies when the gate is opened, as a vendor's connection may at any time."""

    async def die() -> None:
        await acts.gate.wait()
        raise EOFError("the connection is lost")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(die)
        yield AwkwardSTT()
        tasks.cancel_scope.cancel()


# ---- a bot -----------------------------------------------------------------------------------------------------------

CLIENT = "llm:get_context llm:run tts:say tts:interrupt llm.provider tts.provider llm.run_on_config".split()


@bot(
    services={
        "llm": ["scripted", "awkward"],
        "stt": ["awkward", "mortal"],
        "tts": ["awkward", "words"],
        "vad": "awkward",
    },
    config=LOOK,
    client=CLIENT,
    public=True,
)
async def talker(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
    """Holds a spoken conversation, with the turn-taking and the greeting of the test."""
    await converse(session, llm=llm, stt=stt, tts=tts, vad=vad, taking=acts.taking, greeting=acts.greeting)


def awkward_session(
    llm: str = "scripted", *, bot: Any = talker, services: dict[str, str] | None = None, config: Any = (), **how: Any
) -> Any:
    """A session with audio, its client ready unless told otherwise."""
    body = {"services": {"llm": llm, **(services or {})}, "config": config}
    return connected(bot, scripted, sys.modules[__name__], spoken, audio=RATE, body=body, **how)
