"""A bot that hears and speaks, with providers whose delays are known: what is measured is the loop between them."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from attrs import define, field
from bots import UNBOUNDED
from messages import READY

from rtvi_plugins import LLM, STT, TTS, VAD, Session, bot, converse, options, service
from rtvi_plugins.hosting import Connection, Host
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

#: What the providers take, in seconds: until the transcript is there, until the first text, until the first audio.
STT_SECONDS, LLM_SECONDS, TTS_SECONDS = 0.020, 0.030, 0.010
DELAYS = STT_SECONDS + LLM_SECONDS + TTS_SECONDS
STOP_SECONDS = 0.096
#: The rate of the bot's audio, as published clients play it.
RATE = 24_000
#: 20 ms of the user's audio, 16 kHz.
LOUD, SILENT = Audio(b"\x00\x40" * 320, 16_000), Audio(bytes(640), 16_000)


@define
class Loud:
    """Takes what is not silent for speech."""

    def speech_probability(self, frame: Audio, /) -> float:
        return float(frame.data[1] != 0)


@define
class Silence:
    """When any of the voices gave up making audio last, on `time.perf_counter`."""

    since: float = 0.0


silence = Silence()


@define
class Timed:
    """Waits as long as its kind is said to take, then does all at once. `seconds` of speech for each sentence."""

    seconds: float = 0.2

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        async for _ in request.audio:
            pass
        await anyio.sleep(STT_SECONDS)
        yield Transcript("hello", final=True)

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        await anyio.sleep(LLM_SECONDS)
        yield Text("Hello. ")

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        try:
            async for _ in request.text:
                await anyio.sleep(TTS_SECONDS)
                for _ in range(round(self.seconds / 0.1)):
                    yield Audio(bytes(round(0.1 * RATE) * 2), RATE)
        finally:
            silence.since = time.perf_counter()


@service("vad", "loud")
@asynccontextmanager
async def loud_vad() -> AsyncGenerator[Loud]:
    """Hears what is not silent."""
    yield Loud()


@service("stt", "timed")
@asynccontextmanager
async def timed_stt() -> AsyncGenerator[Timed]:
    """Hears always the same."""
    yield Timed()


@service("llm", "timed")
@asynccontextmanager
async def timed_llm() -> AsyncGenerator[Timed]:
    """Answers always the same."""
    yield Timed()


@service("tts", "timed")
@asynccontextmanager
async def timed_tts() -> AsyncGenerator[Timed]:
    """Is silent, for as long as it is told."""
    yield Timed()


@options(timed_tts)
def configure(tts: Timed, /, seconds: float = 0.2) -> None:
    """How long a sentence is."""
    tts.seconds = seconds


@bot(
    services={"stt": "timed", "llm": "timed", "tts": "timed", "vad": "loud"},
    config={"vad": {"params": {"start_secs": 0.032, "stop_secs": STOP_SECONDS}}},
    client=["tts:interrupt", "tts.seconds", "llm:run"],
    public=True,
)
async def talker(session: Session, /, stt: STT, llm: LLM, tts: TTS, vad: VAD) -> None:
    """Holds a spoken conversation."""
    await converse(session, stt=stt, llm=llm, tts=tts, vad=vad)


@define(eq=False)
class Heard:
    """What one client is sent: when audio came first, since it was asked for, and when last."""

    connection: Connection
    first: float = 0.0
    last: float = 0.0
    began: anyio.Event = field(factory=anyio.Event)

    def wait_for_audio(self) -> anyio.Event:
        """From now on, the next frame is the first."""
        self.began = anyio.Event()
        return self.began

    async def listen(self) -> None:
        """Take everything, until the session has ended."""
        while batch := await self.connection.outgoing():
            if any(not isinstance(each, str) for each in batch):
                self.last = time.perf_counter()
                if not self.began.is_set():
                    self.first = self.last
                    self.began.set()


def host() -> Host:
    """A host of the bot."""
    return Host(talker, modules=[sys.modules[__name__]], environ={}, limits=UNBOUNDED)


async def start(found: Host, seconds: float) -> Connection:
    """A session with audio, its client ready; each answer takes so many seconds to say."""
    connection = found.claim((await found.start({"config": {"tts": {"seconds": seconds}}})).token)
    connection.open_audio(RATE)
    connection.receive(READY)
    await connection.outgoing()
    await anyio.sleep(0.01)  # the bot's function begins, and listens
    return connection
