"""One stream of a speech-to-speech model: its input is queued, and its pieces are sorted into answers.

The stream is read all the time, so that speech of the user is noticed while an answer waits to be played.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import Final, Protocol

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup
from attrs import define, field

from ..clock import Clock
from ..errors import ProviderError
from ..kinds import (
    AnswerEnded,
    Audio,
    Heard,
    SpeechBegan,
    SpeechEnded,
    SpeechInput,
    SpeechModel,
    SpeechRequest,
    Text,
    ToolCall,
    Transcript,
    Usage,
    Word,
)
from .feed import Feed
from .streams import BATCH, InvalidPiece, ReplayableStream, as_provider_error, closing, let_cancellation_through

__all__ = ("Answer", "ModelStream", "StreamListener")

_PIECES: Final = (
    "Audio(…), Text(…), Word(…), Transcript(…), SpeechBegan(), SpeechEnded(), ToolCall(…), AnswerEnded() or Usage(…)"
)
#: How long a model may take to end an answer that was stopped, in seconds.
_STOP_SECONDS: Final = 5.0
#: How much input a model may leave unread. It is as many pieces as a minute of audio has.
_MOST_UNREAD: Final = 2000
#: An answer without text for so many seconds of audio reports its usage, which shows that it goes on.
_REPORT_SECONDS: Final = 5.0


@define(eq=False)
class Answer:
    """An answer of the model, as far as it has come. One that is stopped gets no more pieces."""

    stream: ModelStream
    #: Its number in the stream.
    number: int
    #: It was asked for. Otherwise the model answers speech of its own accord.
    requested: bool
    #: Its text and calls, each with the seconds of audio that came before it.
    texts: ReplayableStream[tuple[Text | ToolCall | Usage, float]] = field(
        factory=ReplayableStream[tuple[Text | ToolCall | Usage, float]]
    )
    audio: ReplayableStream[Audio | Word] = field(factory=ReplayableStream[Audio | Word])
    #: The length of its audio so far, in seconds.
    seconds: float = 0.0
    #: The ids of its calls, as the vendor has given them.
    calls: list[str] = field(factory=list[str])
    #: The model was sent their results.
    has_results: bool = False
    begun: bool = False
    stopped: bool = False
    error: ProviderError | None = None
    _usage: Usage = field(factory=Usage)
    _last_text: float = 0.0

    def add(self, piece: Audio | Word | Text | ToolCall | Usage) -> None:
        """Add a piece."""
        match piece:
            case Audio():
                self.audio.append(piece)
                self.seconds += piece.seconds if piece.rate > 0 and piece.channels > 0 else 0.0
                if self.seconds > self._last_text + _REPORT_SECONDS:
                    self._append(self._usage)
            case Word():
                self.audio.append(piece)
            case _:
                if isinstance(piece, ToolCall):
                    self.calls.append(piece.id)
                if isinstance(piece, Usage):
                    self._usage = piece
                self._append(piece)

    def _append(self, piece: Text | ToolCall | Usage) -> None:
        self._last_text = self.seconds
        self.texts.append((piece, self.seconds))

    def stop(self, heard: float) -> None:
        """Stop it, because the user will hear no more of it than `heard` seconds. It may have ended."""
        self.stream.stop(self, heard)

    def end(self, error: ProviderError | None = None) -> None:
        """End it: it is complete, was stopped, or the model has failed."""
        if not self.texts.ended:
            self.error = error
            self.texts.end()


class StreamListener(Protocol):
    """Receives what a stream yields. Its methods must neither block nor raise."""

    def piece_came(self) -> None:
        """Note that the model works."""

    def answer_began(self, answer: Answer, /) -> None:
        """Note that an answer has its first piece."""

    def user_spoke(self, piece: Transcript | SpeechBegan | SpeechEnded, /) -> None:
        """Receive what the model has heard."""

    def used(self, usage: Usage, /) -> None:
        """Receive a usage that belongs to no answer."""

    def stream_over(self, stream: ModelStream, error: ProviderError | None, /) -> None:
        """Note that the stream has failed, or has ended without an error. It was not closed."""


@define(eq=False)
class ModelStream:
    """A call of `converse`, which runs as a task until it ends, fails or is closed."""

    model: SpeechModel
    request: SpeechRequest
    feed: Feed[SpeechInput]
    clock: Clock
    listener: StreamListener
    #: It has ended, has failed, or was closed.
    is_over: bool = field(default=False, init=False)
    #: The answers that have not ended, in order. The first one is the one that the model gives.
    _open: deque[Answer] = field(factory=deque[Answer], init=False)
    #: How many answers have ended.
    _ended: int = field(default=0, init=False)
    _scope: anyio.CancelScope = field(factory=anyio.CancelScope, init=False)

    def start(self, tasks: TaskGroup) -> None:
        """Open the stream."""
        tasks.start_soon(self._run)

    def close(self) -> None:
        """Close the stream. Nothing more comes of it."""
        self._scope.cancel()
        if not self.is_over:
            self.is_over = True
            self._end_all(ProviderError("The speech model", "unavailable", retryable=True))

    def send(self, *items: SpeechInput) -> None:
        """Send input to the model."""
        self.feed.add(*items)
        if len(self.feed) > _MOST_UNREAD:
            self._fail(ProviderError("The speech model", "timeout"))

    def expect(self) -> Answer:
        """Return the answer that the model gives next, because it was asked for one."""
        answer = Answer(self, self._ended + len(self._open), requested=True)
        self._open.append(answer)
        if self.is_over:
            answer.end(ProviderError("The speech model", "unavailable", retryable=True))
        return answer

    def stop(self, answer: Answer, heard: float) -> None:
        """Stop an answer, of which the user has heard so many seconds. It may have ended."""
        if answer.stopped or self.is_over:
            return
        answer.stopped = True
        answer.end()
        self.send(Heard(heard, answer.number))
        if answer in self._open:
            self.clock.call_after(_STOP_SECONDS, lambda: self._check_stopped(answer))

    def _check_stopped(self, answer: Answer) -> None:
        if answer in self._open:
            self._fail(ProviderError("The speech model", "timeout"))

    # ---- the stream ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        error: ProviderError | None = None
        try:
            with self._scope:
                stream = self.model.converse(self.request)
                async with closing(stream, self.model.converse, "a speech model's converse()", _PIECES) as pieces:
                    await self._deliver(pieces)
        except BaseException as raised:
            let_cancellation_through(raised)
            if not self.is_over:
                error = as_provider_error(raised, "a speech model", "conversed")
        self._fail(error)

    def _fail(self, error: ProviderError | None) -> None:
        """End the stream, with all answers that are open."""
        if self.is_over:
            return
        self.is_over = True
        self._scope.cancel()
        self._end_all(error or ProviderError("The speech model", "unavailable", retryable=True))
        self.listener.stream_over(self, error)

    def _end_all(self, error: ProviderError) -> None:
        for answer in self._open:
            answer.end(error)
        self._open.clear()

    async def _deliver(self, pieces: AsyncIterator[object]) -> None:
        count = 0
        async for piece in pieces:
            if self.is_over:
                return
            self.listener.piece_came()
            count += 1
            if count % BATCH == 0:
                await anyio.lowlevel.checkpoint()
            match piece:
                case Audio() | Text() | Word() | ToolCall():
                    self._add(piece)
                case Usage():
                    self._note_usage(piece)
                case AnswerEnded():
                    self._end_answer()
                case Transcript() | SpeechBegan() | SpeechEnded():
                    self.listener.user_spoke(piece)
                case other:
                    raise InvalidPiece(other, "a speech model's converse()", _PIECES)

    def _add(self, piece: Audio | Text | Word | ToolCall) -> None:
        if not self._open:
            self._open.append(Answer(self, self._ended, requested=False))
        answer = self._open[0]
        if answer.stopped:
            return
        answer.add(piece)
        if not answer.begun:
            answer.begun = True
            self.listener.answer_began(answer)

    def _note_usage(self, usage: Usage) -> None:
        if self._open and not self._open[0].stopped:
            self._open[0].add(usage)
        else:
            self.listener.used(usage)

    def _end_answer(self) -> None:
        self._ended += 1
        if self._open:
            self._open.popleft().end()
