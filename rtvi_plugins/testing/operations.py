"""The operations of each kind, as the conformance kit calls them.

`listen` of an STT gets two utterances, each followed by a pause that must be settled. `converse` of a speech-to-speech
model gets two texts, each of which asks for an answer.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from functools import cache
from typing import Any, Final, Literal, Protocol, get_args

import anyio
from attrs import define, field, frozen

from ..kinds import (
    AnswerEnded,
    Audio,
    Heard,
    ListenPiece,
    ListenRequest,
    LLMPiece,
    LLMRequest,
    Pause,
    Settled,
    SpeechInput,
    SpeechPiece,
    SpeechRequest,
    STTPiece,
    STTRequest,
    Text,
    ToolCall,
    Transcript,
    TTSPiece,
    TTSRequest,
    Typed,
    Word,
)
from ..voice.provider_streams import ReplayableStream
from .stepping import close

__all__ = (
    "ANSWER_SCHEMA",
    "CONVERSING",
    "LISTENING",
    "OPERATIONS",
    "SENTENCES",
    "Conversation",
    "EndingOperation",
    "JSONRequest",
    "Operation",
    "Part",
    "Talk",
    "frame",
    "speech",
    "text_of",
)


@frozen
class Operation:
    """The operation of a kind: the method, the classes of its pieces, those that a result needs, and a request."""

    method: str
    pieces: tuple[type, ...]
    results: tuple[type, ...]
    request: Callable[[], Any]

    def start(self, live: Any, request: Any = None) -> Any:
        """Call the method with a request, by default the plain one."""
        return getattr(live, self.method)(self.request() if request is None else request)


#: What the text of an answer to a `JSONRequest` must be.
ANSWER_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"greeting": {"type": "string"}},
    "required": ["greeting"],
    "additionalProperties": False,
}


@frozen
class JSONRequest(LLMRequest):
    """A request for JSON. It notes whether its `answer_schema` was read."""

    schema_reads: list[str] = field(factory=list[str])

    def __getattribute__(self, name: str) -> Any:
        if name == "answer_schema":
            self.schema_reads.append(name)
        return super().__getattribute__(name)


class Part(Protocol):
    """The user's part in an operation that lasts for many turns: what the user sends, and what has to come back."""

    @property
    def is_over(self) -> bool:
        """Whether all that was asked for has come."""
        ...

    def take(self, piece: object, /) -> None:
        """Note a piece that has come."""
        ...

    def failure(self, seconds: float) -> str | None:
        """Return what is wrong with the pieces that came within this many seconds, for the author."""
        ...


@frozen
class EndingOperation(Operation):
    """An operation that lasts for many turns. Here its stream ends with the user's `Part`, which is its `request`."""

    #: Makes the request of the operation from a part.
    request_of: Callable[[Any], Any]

    def start(self, live: Any, request: Part | None = None) -> AsyncGenerator[Any]:
        return self._until_over(live, self.request() if request is None else request)

    async def _until_over(self, live: Any, part: Part) -> AsyncGenerator[Any]:
        stream: AsyncIterator[Any] = getattr(live, self.method)(self.request_of(part))
        try:
            async for piece in stream:
                part.take(piece)
                yield piece
                if part.is_over:
                    return
        finally:
            await close(stream)


#: What the user writes.
_TEXTS: Final = ("Hello. Who are you?", "Say it again, please.")

#: How long the user waits after an answer, and how much of an answer they hear before they interrupt it, in seconds.
_SILENCE_BETWEEN_TEXTS: Final = 0.02

_HEARD: Final = 0.01


@define(eq=False)
class Talk(AsyncIterator[SpeechInput]):
    """The user's side: a text, and the next one when the answer has ended. Then nothing comes.

    With `interrupts`, the user interrupts the first answer at its first audio. `turns` is how often the user asks.
    """

    interrupts: bool = False
    turns: int = len(_TEXTS)
    _problem: str | None = field(default=None, init=False)
    #: How many answers have ended.
    answers: int = field(default=0, init=False)
    _asked: int = field(default=0, init=False)
    _hears: bool = field(default=False, init=False)
    _changed: anyio.Event = field(factory=anyio.Event, init=False)

    @property
    def is_over(self) -> bool:
        return self.answers == self.turns

    def failure(self, seconds: float) -> str | None:
        unanswered = f"{self.answers} of {self.turns} answers ended within {seconds:g} s"
        return self._problem or (None if self.is_over else unanswered)

    async def __anext__(self) -> SpeechInput:
        while True:
            if self._asked == self.answers and not self.is_over:
                if self._asked:
                    await anyio.sleep(_SILENCE_BETWEEN_TEXTS)
                self._asked += 1
                return Typed(_TEXTS[self._asked - 1])
            if self.interrupts and self._hears:
                self.interrupts = False
                return Heard(_HEARD, 0)
            self._changed = anyio.Event()
            await self._changed.wait()

    def take(self, piece: object) -> None:
        expected = self._asked > self.answers
        if isinstance(piece, AnswerEnded) and expected:
            self.answers += 1
            self._changed.set()
        elif isinstance(piece, AnswerEnded):
            self._problem = self._problem or "it yields AnswerEnded() twice for an answer"
        elif isinstance(piece, Audio | Text | Word | ToolCall) and not expected:
            self._problem = self._problem or f"{type(piece).__name__} comes after the AnswerEnded() of its answer"
        elif isinstance(piece, Audio):
            self._hears = True
            self._changed.set()


CONVERSING: Final = EndingOperation("converse", get_args(SpeechPiece), (Audio,), Talk, SpeechRequest)


#: What a TTS is asked to say.
SENTENCES: Final = ("One, two, three, four.", "This is another sentence.")

_RATE, _SAMPLES = 16_000, 512


def text_of(*sentences: str) -> AsyncIterator[str]:
    """Return sentences as a provider receives them."""
    return ReplayableStream(list(sentences), ended=True).read()


@cache
def frame(number: int) -> Audio:
    """Return a frame of a sound like a vowel: 32 ms, 16 kHz, mono."""
    times = (each / _RATE for each in range(number * _SAMPLES, (number + 1) * _SAMPLES))
    waves = (sum(math.sin(2 * math.pi * 120 * n * each) / n for n in (1, 2, 3, 5, 8)) for each in times)
    return Audio(array("h", [round(5000 * each) for each in waves]).tobytes(), _RATE)


def speech() -> AsyncIterator[Audio]:
    """Return an utterance: 0.6 s of sound, and 0.4 s of silence."""
    silence = Audio(bytes(2 * _SAMPLES), _RATE)
    return ReplayableStream([*(frame(each) for each in range(20)), *[silence] * 12], ended=True).read()


#: The operations of the built-in kinds that stream.
OPERATIONS: Final[Mapping[str, Operation]] = {
    "llm": Operation(
        "respond",
        get_args(LLMPiece),
        (Text, ToolCall),
        lambda: LLMRequest([{"role": "user", "content": "Hello. Who are you?"}]),
    ),
    "tts": Operation("synthesize", get_args(TTSPiece), (Audio,), lambda: TTSRequest(text_of(*SENTENCES))),
    # A sound without words needs no transcript.
    "speech": CONVERSING,
    "stt": Operation("transcribe", get_args(STTPiece), (), lambda: STTRequest(speech())),
}


#: How long the user is silent after an utterance was settled, in seconds.
_SILENCE: Final = 0.02


@define(eq=False)
class Conversation(AsyncIterator[Audio | Pause]):
    """The user's audio: an utterance, and the next one when the provider has settled it. Then nothing comes."""

    utterances: int = 2
    _problem: str | None = field(default=None, init=False)
    settled: int = field(default=0, init=False)
    _user: Literal["speaks", "waits", "was answered"] = field(default="speaks", init=False)
    _audio: AsyncIterator[Audio] = field(factory=speech, init=False)
    _answered: anyio.Event = field(factory=anyio.Event, init=False)

    @property
    def is_over(self) -> bool:
        return self.settled == self.utterances

    def failure(self, seconds: float) -> str | None:
        unsettled = f"{self.settled} of {self.utterances} pauses were settled within {seconds:g} s"
        return self._problem or (None if self.is_over else unsettled)

    async def __anext__(self) -> Audio | Pause:
        if self._user == "waits":
            await self._answered.wait()
        if self.is_over:
            await anyio.sleep_forever()
        if self._user == "was answered":
            await anyio.sleep(_SILENCE)
            self._user, self._audio, self._answered = "speaks", speech(), anyio.Event()
        try:
            return await anext(self._audio)
        except StopAsyncIteration:
            self._user = "waits"
            return Pause()

    def take(self, piece: object) -> None:
        if isinstance(piece, Settled) and self._user == "waits":
            self.settled += 1
            self._user = "was answered"
            self._answered.set()
        elif isinstance(piece, Settled):
            self._problem = self._problem or "it yields Settled() without a Pause before it"
        elif isinstance(piece, Transcript) and self._user == "was answered":
            self._problem = self._problem or "a transcript comes after the Settled() of its speech"


#: It is called if a live STT has it.
LISTENING: Final = EndingOperation("listen", get_args(ListenPiece), (), Conversation, ListenRequest)
