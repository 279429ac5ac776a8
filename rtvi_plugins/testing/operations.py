"""The operations of each kind, as the conformance kit calls them, and what it expects of the pieces.

`listen` of an STT gets two utterances, each followed by a pause that must be settled. `converse` of a speech-to-speech
model gets two texts, each of which asks for an answer.

The module has more than 300 lines because each operation stands beside what is expected of its pieces.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from itertools import pairwise
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
    "JSONRequest",
    "Operation",
    "Talk",
    "frame",
    "problems_of_audio",
    "problems_of_order",
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

    With `interrupts`, the user interrupts the first answer at its first audio.
    """

    interrupts: bool = False
    #: What is wrong with the answers so far, for the author.
    problem: str | None = field(default=None, init=False)
    #: How many answers have ended.
    answers: int = field(default=0, init=False)
    _asked: int = field(default=0, init=False)
    _hears: bool = field(default=False, init=False)
    _changed: anyio.Event = field(factory=anyio.Event, init=False)

    @property
    def is_over(self) -> bool:
        """Return whether all answers have ended."""
        return self.answers == len(_TEXTS)

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
        """Note what the provider has yielded."""
        expected = self._asked > self.answers
        if isinstance(piece, AnswerEnded) and expected:
            self.answers += 1
            self._changed.set()
        elif isinstance(piece, AnswerEnded):
            self.problem = self.problem or "it yields AnswerEnded() twice for an answer"
        elif isinstance(piece, Audio | Text | Word | ToolCall) and not expected:
            self.problem = self.problem or f"{type(piece).__name__} comes after the AnswerEnded() of its answer"
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


def problems_of_audio(pieces: Sequence[Any]) -> str | None:
    """Return what is wrong with the format of a stream's audio."""
    audio = [each for each in pieces if isinstance(each, Audio)]
    for each in audio:
        if each.rate <= 0 or each.channels <= 0:
            return f"a piece has the rate {each.rate} and {each.channels} channels"
        if len(each.data) % (2 * each.channels):
            return f"a piece has {len(each.data)} bytes, which is no multiple of {2 * each.channels}"
    formats = {(each.rate, each.channels) for each in audio}
    return f"one stream has several formats (rate, channels): {sorted(formats)}" if len(formats) > 1 else None


def problems_of_order(pieces: Sequence[Any], alone: Sequence[Sequence[Any]]) -> str | None:
    """Return the problem with the order of speech, if any. `alone` has the pieces of each sentence spoken alone."""
    words = [each for each in pieces if isinstance(each, Word)]
    for before, after in pairwise(words):
        if after.start < before.start:
            return f"the word {after.text!r} starts at {after.start:g} s, after {before.text!r} at {before.start:g} s"
    for each in words:
        if each.start < 0 or (each.end is not None and each.end < each.start):
            return f"the word {each.text!r} starts at {each.start:g} s and ends at {each.end} s"
    text, at = " ".join(SENTENCES).lower(), 0
    for each in words:
        place = text.find(each.text.strip().lower(), at)
        if place < 0:
            return f"the word {each.text!r} comes out of order"
        at = place
    begin, *others = (_pcm(each)[:_COMPARED] for each in alone)
    spoken = _pcm(pieces)[:_COMPARED]
    if len(begin) == _COMPARED and spoken != begin and spoken in others:
        return "the audio begins with the second sentence"
    return None


#: How many bytes of audio are compared. Voices that speak each time a little differently never match.
_COMPARED: Final = 2_000


def _pcm(pieces: Sequence[Any]) -> bytes:
    """Return the audio without the silence at its beginning."""
    return b"".join(each.data for each in pieces if isinstance(each, Audio)).lstrip(b"\0")


_UTTERANCES: Final = 2

#: How long the user is silent after an utterance was settled, in seconds.
_SILENCE: Final = 0.02


@define(eq=False)
class Conversation(AsyncIterator[Audio | Pause]):
    """The user's audio: an utterance, and the next one when the provider has settled it. Then nothing comes."""

    #: What is wrong with the answers so far, for the author.
    problem: str | None = field(default=None, init=False)
    settled: int = field(default=0, init=False)
    _user: Literal["speaks", "waits", "was answered"] = field(default="speaks", init=False)
    _audio: AsyncIterator[Audio] = field(factory=speech, init=False)
    _answered: anyio.Event = field(factory=anyio.Event, init=False)

    @property
    def is_over(self) -> bool:
        """Return whether all utterances were settled."""
        return self.settled == _UTTERANCES

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
        """Note what the provider has yielded."""
        if isinstance(piece, Settled) and self._user == "waits":
            self.settled += 1
            self._user = "was answered"
            self._answered.set()
        elif isinstance(piece, Settled):
            self.problem = self.problem or "it yields Settled() without a Pause before it"
        elif isinstance(piece, Transcript) and self._user == "was answered":
            self.problem = self.problem or "a transcript comes after the Settled() of its speech"


#: It is called if a live STT has it.
LISTENING: Final = EndingOperation("listen", get_args(ListenPiece), (), Conversation, ListenRequest)
