"""Speech that a test can read: audio whose samples say what they are, and services that take it apart.

A sample of the user's audio is 0 for silence, or the number of what they say. A sample of the bot's audio is the
number of the character that is being spoken. So what was heard can be told from what was played, to the sample.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Any

import anyio
from attrs import define, field, fields

from rtvi_plugins import LLM, STT, TTS, VAD, Session, bot, converse, service
from rtvi_plugins.kinds import Audio, STTPiece, STTRequest, Transcript, TTSPiece, TTSRequest, Usage, Word
from rtvi_plugins.voice import TurnTaking

from . import scripted
from .scripted import LOOK
from .wire import Wire, connected, settle

__all__ = (
    "LINES",
    "RATE",
    "SERVICES",
    "Plan",
    "code_vad",
    "plan",
    "polite",
    "script_stt",
    "silence",
    "speak",
    "spell_tts",
    "spoken",
    "spoken_session",
    "wait",
    "words_tts",
)

#: The rate at which the bot's audio is made and played: nothing is resampled, so samples arrive as they were made.
RATE = 16_000
#: How long each character of the bot's speech is, in seconds.
CHARACTER = 0.05

#: What the user can say, by the number of its samples.
LINES = ["", "hello there", "what time is it", "stop", "and then", "book a room"]


@define
class Plan:
    """How the services behave in this test, and what they saw."""

    stt_error: Exception | None = None
    tts_error: Exception | None = None
    vad_error: Exception | None = None
    #: Characters that the TTS makes before it waits for ever; None makes all.
    stall_after: int | None = None
    asked: list[str] = field(factory=list[str])
    opened: int = 0
    closed: int = 0
    utterances: int = 0


plan = Plan()


def begin(**how: Any) -> Plan:
    """A new plan, for a new test."""
    fresh = Plan(**how)
    for each in fields(Plan):
        setattr(plan, each.name, getattr(fresh, each.name))
    return plan


# ---- services --------------------------------------------------------------------------------------------------------


@define
class CodeVAD:
    """Takes every sample that is not 0 for speech."""

    def speech_probability(self, frame: Audio, /) -> float:
        """1 or 0, by the majority of the samples."""
        assert len(frame.data) == 1024
        assert (frame.rate, frame.channels) == (16_000, 1)
        if plan.vad_error is not None:
            raise plan.vad_error
        samples = array("h", frame.data)
        return float(sum(1 for each in samples if each) > len(samples) / 2)


@define
class ScriptSTT:
    """Reads what was said from the samples."""

    name: str

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        """An interim transcript when a line begins, and the final one at the end."""
        plan.utterances += 1
        plan.asked.append(self.name)
        found: list[int] = []
        try:
            async for audio in request.audio:
                for number, _ in groupby(array("h", audio.data)):
                    if number and found[-1:] != [number]:
                        found.append(number)
                        yield Transcript(LINES[number].split()[0], final=False)
                if plan.stt_error is not None:
                    raise plan.stt_error
            yield Transcript(" ".join(LINES[number] for number in found), final=True)
            yield Usage()
        finally:
            plan.closed += 1


@define
class SpellTTS:
    """Speaks each character for 50 ms, in samples of its code."""

    words: bool
    name: str = "spell"

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        """A piece of audio for each character, in no time; with the times of words, if it knows them."""
        plan.opened += 1
        at, made = 0.0, 0
        try:
            async for text in request.text:
                plan.asked.append(text)
                if plan.tts_error is not None:
                    raise plan.tts_error
                for index, character in enumerate(f"{text} "):
                    if self.words and not character.isspace() and (index == 0 or text[index - 1].isspace()):
                        yield Word(text[index:].split()[0], at)
                    if made == plan.stall_after:
                        await anyio.sleep_forever()
                    yield samples(ord(character), CHARACTER)
                    at += CHARACTER
                    made += 1
            yield Usage(characters=made)
        finally:
            plan.closed += 1


def samples(number: int, seconds: float, rate: int = RATE) -> Audio:
    """Audio of one number."""
    return Audio(array("h", [number] * round(seconds * rate)).tobytes(), rate)


@service("vad", "code")
@asynccontextmanager
async def code_vad() -> AsyncGenerator[CodeVAD]:
    """Hears numbers."""
    yield CodeVAD()


@service("stt", "script")
@asynccontextmanager
async def script_stt() -> AsyncGenerator[ScriptSTT]:
    """Reads numbers."""
    yield ScriptSTT("script")


@service("stt", "second")
@asynccontextmanager
async def second_stt() -> AsyncGenerator[ScriptSTT]:
    """Another one, to be switched to."""
    yield ScriptSTT("second")


@service("tts", "spell")
@asynccontextmanager
async def spell_tts() -> AsyncGenerator[SpellTTS]:
    """Does not tell when words start."""
    yield SpellTTS(words=False)


@service("tts", "words")
@asynccontextmanager
async def words_tts() -> AsyncGenerator[SpellTTS]:
    """Tells when words start."""
    yield SpellTTS(words=True)


# ---- bots ------------------------------------------------------------------------------------------------------------

SERVICES: dict[str, Any] = {
    "llm": ["scripted", "other"],
    "stt": ["script", "second"],
    "tts": ["spell", "words"],
    "vad": "code",
}
CLIENT = "llm:get_context llm:run tts:say tts:interrupt llm.provider tts.provider stt.provider vad.params".split()


@bot(services=SERVICES, config=LOOK, client=CLIENT, public=True)
async def talker(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
    """Holds a spoken conversation."""
    await converse(session, llm=llm, stt=stt, tts=tts, vad=vad)


@bot(services=SERVICES, client=CLIENT, public=True)
async def polite(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
    """Greets, waits, asks, and lets nobody interrupt."""
    taking = TurnTaking(interruptible=False, idle_seconds=5.0, idle_text="Hello?", longest_turn_seconds=2.0)
    await converse(session, llm=llm, stt=stt, tts=tts, vad=vad, taking=taking, greeting="Good day.")


def spoken_session(bot: Any = talker, **how: Any) -> Any:
    """A session with audio, its client ready."""
    return connected(bot, scripted, sys.modules[__name__], audio=RATE, **how)


# ---- the user --------------------------------------------------------------------------------------------------------


async def wait(wire: Wire, seconds: float) -> None:
    """Let time pass, in steps of 10 ms."""
    for _ in range(round(seconds * 100)):
        wire.clock.advance(0.01)
        await settle()


async def speak(wire: Wire, line: int, seconds: float) -> None:
    """The user says something, or is silent (line 0), while time passes."""
    for _ in range(round(seconds / 0.02)):
        wire.connection.receive_audio(samples(line, 0.02, 16_000))
        wire.clock.advance(0.02)
        await settle()


async def silence(wire: Wire, seconds: float) -> None:
    """The user is silent, with the microphone on."""
    await speak(wire, 0, seconds)


def spoken(wire: Wire) -> str:
    """What the client was sent of the bot's speech, as text: each character once for every 50 ms of it."""
    data = array("h")
    for _, audio in wire.heard:
        assert (audio.rate, audio.channels, len(audio.data)) == (RATE, 1, 640)
        data.frombytes(audio.data)
    step = round(CHARACTER * RATE)
    return "".join(chr(data[at]) for at in range(step // 2, len(data), step)).rstrip("\0")


def texts(pieces: Sequence[Any]) -> list[str]:
    """The texts of events."""
    return [each["text"] for each in pieces]
