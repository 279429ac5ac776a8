"""Providers of all kinds for one test, made anew for each: what they do, and what they were asked.

A sample of the user's audio is 0 for silence, or the number of a line. A sample of the bot's audio is the number of the
character that is spoken. So a test knows to the sample what was heard and what was played.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import groupby
from types import ModuleType
from typing import Any, TypeAlias

import anyio
import anyio.lowlevel
from attrs import define

from rtvi_plugins import LLM, STT, TTS, VAD, Session, bot, converse, service
from rtvi_plugins.kinds import (
    Audio,
    ListenPiece,
    ListenRequest,
    LLMPiece,
    LLMRequest,
    Settled,
    STTPiece,
    STTRequest,
    Transcript,
    TTSPiece,
    TTSRequest,
    Usage,
    Word,
)
from rtvi_plugins.voice import TurnTaking

from .wire import Wire, connected

__all__ = (
    "CLIENT",
    "LINES",
    "LOOK",
    "NOISE",
    "POLITE",
    "RATE",
    "SERVICES",
    "WAIT",
    "FakeLLM",
    "FakeSTT",
    "FakeTTS",
    "FakeVAD",
    "Fakes",
    "Respond",
    "Step",
    "Synthesize",
    "check_conversation",
    "lines_in",
    "recognise",
    "samples",
    "spell",
)

#: In an answer: say nothing more until the turn is interrupted.
WAIT = "wait"
#: What an answer is made of: pieces, a failure, or `WAIT`.
Step: TypeAlias = "LLMPiece | Exception | str"

#: The rate at which the bot's audio is made and played: nothing is resampled, so samples arrive as they were made.
RATE = 16_000
#: How long each character of the bot's speech is, in seconds.
CHARACTER = 0.05
#: What the user can say, by the number of its samples.
LINES = ["", "hello there", "what time is it", "stop", "and then", "book a room"]
#: A sound that the VAD takes for speech, and in which nobody finds words.
NOISE = 99

SERVICES: dict[str, Any] = {
    "llm": ["scripted", "other"],
    "stt": ["script", "second", "mortal"],
    "tts": ["spell", "words"],
    "vad": "code",
}
CLIENT = """llm:get_context llm:run tts:say tts:interrupt llm.provider tts.provider stt.provider llm.run_on_config
vad.params""".split()
#: The config of a bot whose client runs a function `look`.
LOOK: dict[str, dict[str, Any]] = {"llm": {"tools": [{"name": "look"}]}}
#: A bot that greets, waits, asks, and lets nobody interrupt.
POLITE: Mapping[str, Any] = {
    "taking": TurnTaking(interruptible=False, idle_seconds=5.0, idle_text="Hello?", longest_turn_seconds=2.0),
    "greeting": "Good day.",
}

Respond: TypeAlias = Callable[[LLMRequest], AsyncIterator[LLMPiece]]
Synthesize: TypeAlias = Callable[[TTSRequest], AsyncIterator[TTSPiece]]
Transcribe: TypeAlias = Callable[[STTRequest], AsyncIterator[STTPiece]]
Listen: TypeAlias = Callable[[ListenRequest], AsyncIterator[ListenPiece]]


# ---- audio and messages ----------------------------------------------------------------------------------------------


def samples(number: int, seconds: float, rate: int = RATE) -> Audio:
    """Audio of one number."""
    return Audio(array("h", [number] * round(seconds * rate)).tobytes(), rate)


def spell(text: str) -> Audio:
    """A piece of text as speech; samples have 15 bits for a character."""
    return Audio(b"".join(samples(ord(each) & 0x7FFF, CHARACTER).data for each in text), RATE)


def lines_in(audio: Audio) -> Iterator[int]:
    """The numbers of the lines that were said in a piece of audio."""
    return (number for number, _ in groupby(array("h", audio.data)) if 0 < number < len(LINES))


async def recognise(request: STTRequest) -> AsyncGenerator[STTPiece]:
    """The transcript of an utterance at its end; nothing for noise."""
    found = [number async for audio in request.audio for number in lines_in(audio)]
    yield Transcript(" ".join(LINES[number] for number, _ in groupby(found)), final=True)


def check_conversation(messages: Sequence[Any]) -> None:
    """Raise unless a vendor would accept the messages: each call followed by its result, and no result without."""
    open_calls: list[str] = []
    for message in messages:
        assert set(message) <= {"role", "content", "tool_calls", "tool_call_id", "name"}, message
        if message["role"] == "tool":
            assert message["tool_call_id"] in open_calls, "a result without its call"
            open_calls.remove(message["tool_call_id"])
            assert isinstance(message["content"], str)
            continue
        assert open_calls == [], "a call without its result"
        for call in message.get("tool_calls", ()):
            json.loads(call["function"]["arguments"])
            open_calls.append(call["id"])
        assert message["content"] or open_calls, "a message that says nothing"
    assert open_calls == [], "a call without its result"


# ---- services --------------------------------------------------------------------------------------------------------


@define
class FakeLLM:
    """An LLM that uses a function of the test."""

    name: str
    do: Respond

    def respond(self, request: LLMRequest, /) -> AsyncIterator[LLMPiece]:
        """Answer with that function."""
        return self.do(request)


@define
class OtherLLM(FakeLLM):
    """The same, as a class of another vendor."""


@define
class FakeTTS:
    """A TTS that uses a function of the test."""

    do: Synthesize

    def synthesize(self, request: TTSRequest, /) -> AsyncIterator[TTSPiece]:
        """Speak with that function."""
        return self.do(request)


@define
class FakeSTT:
    """An STT that uses a function of the test."""

    do: Transcribe

    def transcribe(self, request: STTRequest, /) -> AsyncIterator[STTPiece]:
        """Recognise with that function."""
        return self.do(request)


@define
class FakeListeningSTT(FakeSTT):
    """An STT with `listen` that uses functions of the test."""

    do_listen: Listen

    def listen(self, request: ListenRequest, /) -> AsyncIterator[ListenPiece]:
        """Recognise a session with that function."""
        return self.do_listen(request)


@define
class FakeVAD:
    """A VAD that uses a function of the test."""

    do: Callable[[Audio], float]

    def speech_probability(self, frame: Audio, /) -> float:
        """Judge a frame with that function."""
        return self.do(frame)


class Fakes(ModuleType):
    """Providers for one test. A host takes them as a module, and a bot names them as in `SERVICES`.

    The LLM gives the `answers`, one for each request, then empty ones. `llm`, `tts`, `stt` and `vad` take the place of
    what the first provider of a kind does. The TTS makes `stall_after` characters before it waits for ever. If it is
    `held`, it waits for `gate` before each text. The STTs can listen if this `listens`, or as given. `taking` and
    `greeting` are for `talker`.
    """

    def __init__(
        self,
        *answers: Sequence[Step],
        llm: Respond | None = None,
        tts: Synthesize | None = None,
        stt: Transcribe | None = None,
        vad: Callable[[Audio], float] | None = None,
        stall_after: int | None = None,
        held: bool = False,
        listens: bool | Listen = False,
        taking: TurnTaking | None = None,
        greeting: str = "",
    ) -> None:
        super().__init__("fake_providers")
        self.answers = list(answers)
        self.stall_after, self.held = stall_after, held
        #: What the services of a kind raise, by the kind.
        self.errors = dict[str, Exception]()
        self.taking, self.greeting = taking or TurnTaking(), greeting
        #: Every request to an LLM, and which providers of a kind were asked.
        self.requests = list[LLMRequest]()
        self.llms, self.stts = list[str](), list[str]()
        #: The pieces of text that a TTS was asked to speak.
        self.texts = list[str]()
        #: Streams that have begun and ended, of each kind.
        self.begun, self.ended = Counter[str](), Counter[str]()
        #: A test opens it for a service that waits for it.
        self.gate = anyio.Event()
        self.llm = FakeLLM("scripted", llm or self.respond_as("scripted"))
        self.scripted = self._provider("llm", "scripted", self.llm)
        self.other = self._provider("llm", "other", OtherLLM("other", self.respond_as("other")))
        self.script = self._provider("stt", "script", self._stt("script", stt, listens))
        self.second = self._provider("stt", "second", self._stt("second", None, listens))
        self.mortal = self._provider("stt", "mortal", FakeSTT(stt or self.transcribe_as("mortal")))
        self.spell = self._provider("tts", "spell", FakeTTS(tts or self.synthesize_as("spell")))
        self.words = self._provider("tts", "words", FakeTTS(self.synthesize_as("words")))
        self.code = self._provider("vad", "code", FakeVAD(vad or self._hear))

    def talker(self) -> Any:
        """A bot that holds a spoken conversation."""

        @bot(services=SERVICES, config=LOOK, client=CLIENT, public=True)
        async def talker(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
            """Holds a spoken conversation."""
            await converse(session, llm=llm, stt=stt, tts=tts, vad=vad, taking=self.taking, greeting=self.greeting)

        return talker

    def session(self, which: Any = None, **how: Any) -> AbstractAsyncContextManager[Wire]:
        """A session with audio, its client ready, of `talker` or another bot."""
        return connected(which or self.talker(), self, audio=RATE, **how)

    def write(self, *answers: Sequence[Step]) -> None:
        """Forget the requests, and give these answers from now on."""
        self.answers[:] = answers
        self.requests.clear()
        self.llms.clear()

    # ---- what they do ------------------------------------------------------------------------------------------------

    def respond_as(self, name: str) -> Respond:
        """Give the next answer, or an empty one. Each request must be one that a vendor accepts."""

        async def respond(request: LLMRequest) -> AsyncGenerator[LLMPiece]:
            check_conversation(request.messages)
            self.begun["llm"] += 1
            self.requests.append(request)
            self.llms.append(name)
            try:
                for step in self.answers.pop(0) if self.answers else ():
                    await anyio.lowlevel.checkpoint()
                    if isinstance(step, Exception):
                        raise step
                    if isinstance(step, str):
                        await anyio.sleep_forever()
                    else:
                        yield step
            finally:
                self.ended["llm"] += 1

        return respond

    def transcribe_as(self, name: str) -> Transcribe:
        """Give an interim transcript when a line begins, and the final one at the end."""

        async def transcribe(request: STTRequest) -> AsyncGenerator[STTPiece]:
            self.begun["stt"] += 1
            self.stts.append(name)
            found: list[int] = []
            try:
                async for audio in request.audio:
                    for number in lines_in(audio):
                        if found[-1:] != [number]:
                            found.append(number)
                            yield Transcript(LINES[number].split()[0], final=False)
                    if "stt" in self.errors:
                        raise self.errors["stt"]
                yield Transcript(" ".join(LINES[number] for number in found), final=True)
                yield Usage()
            finally:
                self.ended["stt"] += 1

        return transcribe

    def _stt(self, name: str, do: Transcribe | None, listens: bool | Listen) -> FakeSTT:
        do = do or self.transcribe_as(name)
        if listens is False:
            return FakeSTT(do)
        return FakeListeningSTT(do, self.listen_as(name) if listens is True else listens)

    def listen_as(self, name: str) -> Listen:
        """Recognise as `transcribe_as` does, one utterance after the other."""

        async def listen(request: ListenRequest) -> AsyncGenerator[ListenPiece]:
            self.begun["listen"] += 1
            self.stts.append(name)
            found: list[int] = []
            try:
                async for piece in request.audio:
                    if isinstance(piece, Audio):
                        for number in lines_in(piece):
                            if found[-1:] != [number]:
                                found.append(number)
                                yield Transcript(LINES[number].split()[0], final=False)
                        continue
                    if "stt" in self.errors:
                        raise self.errors["stt"]
                    yield Transcript(" ".join(LINES[number] for number in found), final=True)
                    yield Settled()
                    found.clear()
            finally:
                self.ended["listen"] += 1

        return listen

    def synthesize_as(self, name: str) -> Synthesize:
        """Make a piece of audio for each character, in no time. The TTS `words` also gives their times."""

        async def synthesize(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
            self.begun["tts"] += 1
            made = 0
            try:
                async for text in request.text:
                    self.texts.append(text)
                    if self.held:
                        await self.gate.wait()
                    if "tts" in self.errors:
                        raise self.errors["tts"]
                    for index, character in enumerate(f"{text} "):
                        if name == "words" and not character.isspace() and (index == 0 or text[index - 1].isspace()):
                            yield Word(text[index:].split()[0], made * CHARACTER)
                        if made == self.stall_after:
                            await anyio.sleep_forever()
                        yield samples(ord(character) & 0x7FFF, CHARACTER)
                        made += 1
                yield Usage(characters=made)
            finally:
                self.ended["tts"] += 1

        return synthesize

    def _hear(self, frame: Audio) -> float:
        """Return speech if most samples are not 0."""
        assert (len(frame.data), frame.rate, frame.channels) == (1024, 16_000, 1)
        if "vad" in self.errors:
            raise self.errors["vad"]
        heard = array("h", frame.data)
        return float(sum(1 for each in heard if each) > len(heard) / 2)

    @asynccontextmanager
    async def opening(self, name: str) -> AsyncGenerator[None]:
        """Keep a service open. `stt.mortal` fails when the gate is opened, like a broken connection."""

        async def run() -> None:
            await self.gate.wait()
            raise EOFError("the connection is lost")

        async with anyio.create_task_group() as tasks:
            if name == "stt.mortal":
                tasks.start_soon(run)
            yield
            tasks.cancel_scope.cancel()

    def _provider(self, kind: str, label: str, live: object) -> Any:
        @asynccontextmanager
        async def open_service() -> AsyncGenerator[Any]:
            """A provider that is made for a test."""
            async with self.opening(f"{kind}.{label}"):
                yield live

        declare: Any = service
        open_service.__module__ = self.__name__  # a host counts only the functions of a module itself
        return declare(kind, label)(open_service)
