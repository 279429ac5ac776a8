"""The connection to a speech-to-speech model: it follows the context, and is opened again when necessary.

The context belongs to the session. The model receives what others add to it. When they change or remove something, when
the functions or the provider change, and when the stream fails, another stream is opened with the whole context.

A stream is read all the time, so that speech of the user is noticed while an answer waits to be played. Its input is
queued, and its pieces are sorted into answers.

The module has more than 300 lines because a connection and its streams have one life.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, Protocol

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from ..clock import Clock, Timer
from ..context import Function, Message
from ..errors import ProviderError
from ..kinds import (
    Added,
    AnswerEnded,
    Audio,
    Heard,
    Pause,
    Respond,
    SpeechBegan,
    SpeechEnded,
    SpeechInput,
    SpeechModel,
    SpeechPiece,
    SpeechRequest,
    Text,
    ToolCall,
    Transcript,
    Typed,
    Usage,
    Word,
)
from ..session import Alternatives, Session
from .llm_completion import as_sent
from .provider_streams import (
    Feed,
    FormatCheck,
    ReplayableStream,
    StreamFailures,
    as_provider_error,
    class_of_provider,
    let_cancellation_through,
    named,
    reading,
)

__all__ = ("Answer", "ModelConnection", "ModelStream")

log = logging.getLogger("rtvi_plugins")

# ---- one stream ----------------------------------------------------------------------------------------------------

#: How long a model may take to end an answer that was stopped, in seconds.
_STOP_SECONDS: Final = 5.0

#: How much input a model may leave unread. It is as many pieces as a minute of audio has.
_MOST_UNREAD: Final = 2000

#: An answer without text for this many seconds of audio reports its usage, which shows that it continues.
_REPORT_SECONDS: Final = 5.0


@define(eq=False)
class Answer:
    """An answer of the model, as far as it has come. One that is stopped gets no more pieces."""

    stream: ModelStream
    #: Its number in the stream.
    number: int
    #: Whether it was asked for. Otherwise the model answers speech by itself.
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
        """Stop the answer: the user hears only its first `heard` seconds. It may already have ended."""
        self.stream.stop(self, heard)

    def end(self, error: ProviderError | None = None) -> None:
        """End it: it is complete, was stopped, or the model has failed."""
        if not self.texts.ended:
            self.error = error
            self.texts.end()


def _stream_lost() -> ProviderError:
    return ProviderError("The speech model", "unavailable", retryable=True)


@define(eq=False)
class ModelStream:
    """A call of `converse`, which runs as a task until it ends, fails or is closed."""

    model: SpeechModel
    request: SpeechRequest
    feed: Feed[SpeechInput]
    clock: Clock
    connection: ModelConnection
    #: The name of the provider, for the log.
    provider: str | None = None
    #: It has ended, has failed, or was closed.
    is_over: bool = field(default=False, init=False)
    #: The answers that have not ended, in order. The first one is the one that the model gives.
    _open_answers: deque[Answer] = field(factory=deque[Answer], init=False)
    #: How many answers have ended.
    _answers_ended: int = field(default=0, init=False)
    _scope: anyio.CancelScope = field(factory=anyio.CancelScope, init=False)
    _check_format: FormatCheck = field(factory=FormatCheck, init=False)

    def start(self, tasks: TaskGroup) -> None:
        tasks.start_soon(self._converse)

    def close(self, error: ProviderError | None = None) -> None:
        """Close the stream, and end all answers that are open. It yields nothing more."""
        self._scope.cancel()
        self.is_over = True
        for answer in self._open_answers:
            answer.end(error or _stream_lost())
        self._open_answers.clear()

    def send(self, *items: SpeechInput) -> None:
        self.feed.add(*items)
        if len(self.feed) > _MOST_UNREAD:
            self._fail_stream(ProviderError("The speech model", "timeout"))

    def expect(self) -> Answer:
        """Return the answer that the model gives next, because it was asked for one."""
        answer = Answer(self, self._answers_ended + len(self._open_answers), requested=True)
        self._open_answers.append(answer)
        if self.is_over:
            answer.end(_stream_lost())
        return answer

    def stop(self, answer: Answer, heard: float) -> None:
        """Stop an answer, of which the user has heard so many seconds. It may have ended."""
        if answer.stopped or self.is_over:
            return
        answer.stopped = True
        answer.end()
        self.send(Heard(heard, answer.number))
        if answer in self._open_answers:
            self.clock.call_after(_STOP_SECONDS, lambda: self._check_stopped(answer))

    def _check_stopped(self, answer: Answer) -> None:
        if answer in self._open_answers:
            self._fail_stream(ProviderError("The speech model", "timeout"))

    # ---- the stream ------------------------------------------------------------------------------------------------

    async def _converse(self) -> None:
        error: ProviderError | None = None
        try:
            with self._scope:
                request, operation = self.request, "a speech model's converse()"
                async with reading(self.model.converse, request, operation, SpeechPiece) as pieces:
                    async for piece in pieces:
                        if self.is_over:
                            return
                        self._receive(piece)
                if not self.is_over:
                    log.warning("%s ended its converse() by itself", named("a speech model", self.provider))
        except BaseException as raised:
            let_cancellation_through(raised)
            if not self.is_over:
                error = as_provider_error(raised, "a speech model", "conversed", self.provider)
        self._fail_stream(error)

    def _fail_stream(self, error: ProviderError | None) -> None:
        if not self.is_over:
            self.close(error)
            self.connection.failed(self, error)

    def _receive(self, piece: SpeechPiece) -> None:
        self.connection.works()
        match piece:
            case Audio() | Text() | Word() | ToolCall():
                if isinstance(piece, Audio):
                    self._check_format(piece, "a speech model", self.provider)
                self._add_to_answer(piece)
            case Usage():
                if self._open_answers and not self._open_answers[0].stopped:
                    self._open_answers[0].add(piece)
                else:
                    self.connection.listener.used(piece)
            case AnswerEnded():
                self._answers_ended += 1
                if self._open_answers:
                    self._open_answers.popleft().end()
            case Transcript() | SpeechBegan() | SpeechEnded():
                self.connection.listener.user_spoke(piece)

    def _add_to_answer(self, piece: Audio | Text | Word | ToolCall) -> None:
        if not self._open_answers:
            self._open_answers.append(Answer(self, self._answers_ended, requested=False))
        answer = self._open_answers[0]
        if answer.stopped:
            return
        answer.add(piece)
        if not answer.begun:
            answer.begun = True
            self.connection.listener.answer_began(answer)


# ---- the connection ------------------------------------------------------------------------------------------------

#: How much audio from before the user's speech another stream hears, in pieces of 32 ms: about a second.
_PRE_ROLL: Final = 32

#: How much unanswered audio is kept for another stream, in pieces of 32 ms: about a minute.
_MOST_KEPT: Final = 2000


class ModelListener(Protocol):
    """The conversation, which receives what the streams yield. Its methods must neither block nor raise."""

    def stream_opened(self, utterances: int, /) -> None:
        """Note that a new stream was opened, to which so many utterances of a VAD are sent again."""

    def stream_lost(self, error: ProviderError | None, /) -> None:
        """Note that the stream is over. `error` is set if the user should know of it."""

    def answer_began(self, answer: Answer, /) -> None: ...

    def user_spoke(self, piece: Transcript | SpeechBegan | SpeechEnded, /) -> None: ...

    def used(self, usage: Usage, /) -> None:
        """Receive a usage that belongs to no answer."""


@define(eq=False)
class ModelConnection:
    """Opens the streams to the model in one conversation, one after the other."""

    session: Session
    model: SpeechModel
    tasks: TaskGroup
    listener: ModelListener
    #: Whether the vendor finds the utterances.
    endpointing: bool
    #: Whether the bot has a turn. Until it ends, the context lacks what the model has said.
    in_turn: bool = False
    #: Whether the last audio of the user belongs to speech that has no answer.
    is_unanswered: bool = False
    _stream: ModelStream | None = None
    #: The messages that the stream knows, by their identity, each with its content.
    _known_messages: dict[int, tuple[Message, Any]] = field(factory=dict[int, tuple[Message, Any]])
    _functions: tuple[Sequence[Function], str | None] = ((), None)
    #: The user's audio that another stream would hear.
    _recent_audio: deque[Audio | Pause] = field(factory=deque[Audio | Pause])
    _failures: StreamFailures = field(factory=StreamFailures)
    _reopen_timer: Timer | None = None
    #: The providers that take over. It is set from a failure outside of turns until the next piece.
    _alternatives: Alternatives | None = None
    _is_replacing: bool = False

    # ---- streams ---------------------------------------------------------------------------------------------------

    @property
    def stream(self) -> ModelStream | None:
        """Return the stream, unless it is over, or is that of a provider which was replaced."""
        stream = self._stream
        if stream is None or stream.is_over:
            return None
        try:
            return stream if stream.model is self._provider() else None
        except ProviderError:
            return None

    @property
    def _is_waiting(self) -> bool:
        """Return whether another stream will be opened soon."""
        return self._reopen_timer is not None or self._is_replacing

    def _provider(self) -> Any:
        """Return the provider that fills the service now, behind its handle. Raise `ProviderError` if it has died."""
        return getattr(self.model.converse, "__self__", self.model)

    @property
    def name_of_provider(self) -> str:
        return class_of_provider(self.model.converse)

    def open(self, messages: Sequence[Message] | None = None) -> ModelStream:
        """Open another stream with the context, or with these messages in its place."""
        self.close()
        provider, in_context = self._provider(), self.session.context.messages
        self._known_messages = {id(each): (each, each["content"]) for each in in_context}
        self._functions = self._wanted_functions()
        given = as_sent(in_context if messages is None else messages, self.name_of_provider)
        feed = Feed[SpeechInput]()
        feed.add(*self._recent_audio)
        functions, choice = self._functions
        request = SpeechRequest(
            feed, given, functions, choice, endpointing=self.endpointing, spoken=self.session.has_audio
        )
        name = self.session.alternatives(self.model).provider
        self._stream = stream = ModelStream(provider, request, feed, self.session.clock, self, name)
        stream.start(self.tasks)
        speaks = bool(self._recent_audio) and isinstance(self._recent_audio[-1], Audio)
        pauses = sum(isinstance(each, Pause) for each in self._recent_audio)
        self.listener.stream_opened(0 if self.endpointing else pauses + speaks)
        return stream

    def close(self) -> None:
        if self._reopen_timer is not None:
            self._reopen_timer.cancel()
            self._reopen_timer = None
        if self._stream is not None:
            self._stream.close()

    def works(self) -> None:
        """Note that the stream has yielded something."""
        self._failures.clear()
        if self._alternatives is not None:
            self._alternatives.answered()
            self._alternatives = None

    def failed(self, stream: ModelStream, error: ProviderError | None) -> None:
        """Open another stream after a while. A turn that runs fails, and may ask for another stream at once."""
        if stream is not self._stream or self._is_replacing:
            return
        self._failures.count += error is not None
        is_news = error is not None and not self.in_turn and self._failures.is_news(error)
        others = self._alternatives or self.session.alternatives(self.model)
        if error is not None and others.exist and not self.in_turn:  # else the turn asks the next provider
            self._alternatives, self._is_replacing = others, True
            self.listener.stream_lost(None)
            self.tasks.start_soon(self._replace_provider, error, is_news)
            return
        self._failures.is_reported = self._failures.is_reported or is_news
        self.listener.stream_lost(error if is_news else None)
        if self.stream is None:
            self._open_later(error)

    async def _replace_provider(self, error: ProviderError, is_news: bool) -> None:
        """Open a stream of the next provider, or later one of the same if none takes over."""
        try:
            replaced = self._alternatives is not None and await self._alternatives.failed(error)
        finally:
            self._is_replacing = False
        if replaced:
            self._open_again()
            return
        if is_news:
            self._failures.is_reported = True
            self.session.fail(error)
        self._alternatives = None
        if self.stream is None:
            self._open_later(error)

    def _open_later(self, error: ProviderError | None) -> None:
        delay = self._failures.delay(error)
        self._reopen_timer = self.session.clock.call_after(delay, self._open_again)

    def _open_again(self) -> None:
        self._reopen_timer = None
        if not self.in_turn and self.stream is None:  # else it is opened at the end of the turn
            self.open_if_possible()

    def open_if_possible(self) -> None:
        """Open a stream now, or later if the service has died."""
        try:
            self.open()
        except ProviderError as error:
            self._failures.count += 1
            self._open_later(error)

    # ---- the context -----------------------------------------------------------------------------------------------

    def _wanted_functions(self) -> tuple[Sequence[Function], str | None]:
        return list(self.session.functions), self.session.context.tool_choice

    def note_known(self, *messages: Message) -> None:
        self._known_messages |= {id(each): (each, each["content"]) for each in messages}

    def _additions(self) -> list[Message] | None:
        """Return the messages that the model does not know; None if it knows something that is no longer true."""
        messages, known = self.session.context.messages, self._known_messages
        new = [each for each in messages if id(each) not in known]
        old = [each for each in messages if id(each) in known]
        if len(old) < len(known) or any(known[id(each)][1] != each["content"] for each in old):
            return None
        return new if self._functions == self._wanted_functions() else None

    def sync(self) -> None:
        """Tell the model what others have changed, unless the bot has a turn."""
        if self.in_turn or self._is_waiting:
            return
        stream, new = self.stream, self._additions()
        if stream is None or new is None:
            self.open_if_possible()
        else:
            self.note_known(*new)
            stream.send(*(Added(each) for each in as_sent(new, self.name_of_provider)))

    def ask(self, messages: Sequence[Message], *, say: str | None, afresh: bool) -> Answer:
        """Make the model answer, or say a text. `afresh` are the messages with which to open another stream."""
        stream, new = self.stream, self._additions()
        if stream is None or new is None or afresh:
            stream, new = self.open(messages), []
        self.note_known(*new)
        added = as_sent(new, self.name_of_provider)
        asked: SpeechInput = Respond(say)
        if added and say is None and added[-1]["role"] == "user" and isinstance(text := added[-1]["content"], str):
            added.pop()
            asked = Typed(text)
        stream.send(*(Added(each) for each in added), asked)
        return stream.expect()

    # ---- the user's audio ------------------------------------------------------------------------------------------

    def hear(self, item: Audio | Pause) -> None:
        """Send the user's audio, or a pause. Another stream gets it again, as long as it has no answer."""
        self._recent_audio.append(item)
        most = _MOST_KEPT if self.is_unanswered else _PRE_ROLL
        while len(self._recent_audio) > most:
            self._recent_audio.popleft()
        if (stream := self.stream) is not None:
            stream.send(item)
        elif not self.in_turn and not self._is_waiting:
            self.open_if_possible()

    def answered(self) -> None:
        """Forget the user's audio, because it has an answer."""
        self.is_unanswered = False
        self._recent_audio.clear()
