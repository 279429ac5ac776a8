"""The streams of a continuous STT: opened once, for all utterances of a session, and again after a failure.

An `EndpointingStream` is that of an STT whose vendor finds the utterances: all audio goes in, and the vendor says when
the user speaks. To the user's audio, such a stream is a VAD. To the recogniser, it is a stream that hears one utterance
at a time.

The module has more than 300 lines because both forms of the stream are fed and opened again in the same way.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup
from attrs import define, field

from ..errors import ProviderError
from ..kinds import (
    Audio,
    ListeningSTT,
    ListenRequest,
    Pause,
    Settled,
    SpeechBegan,
    SpeechEnded,
    STTPiece,
    Transcript,
    Usage,
)
from ..session import Session
from ..utils.waiting import Condition
from .provider_streams import (
    BATCH,
    Feed,
    InvalidPiece,
    ReplayableStream,
    as_provider_error,
    class_of_provider,
    closing,
    is_reported,
    let_cancellation_through,
    reopening_delay,
)

__all__ = ("EndpointingStream", "ListeningStream", "Streams")

log = logging.getLogger("rtvi_plugins")

# ---- without endpoints ---------------------------------------------------------------------------------------------

_PIECES_OF_LISTEN: Final = "Transcript(…), Settled() or Usage(…)"


@define(eq=False)
class _Feed(AsyncIterator[Audio | Pause]):
    """The audio of one utterance after the other, each followed by a pause."""

    _next: AsyncIterator[Audio] | None = None
    _added: anyio.Event = field(factory=anyio.Event)

    @property
    def is_paused(self) -> bool:
        """Return whether the STT has taken the pause after the last utterance."""
        return self._next is None

    def add(self, audio: ReplayableStream[Audio]) -> None:
        """Send this utterance. The one before must have been sent."""
        self._next = audio.read()
        self._added.set()

    async def __anext__(self) -> Audio | Pause:
        while self._next is None:
            self._added = anyio.Event()
            await self._added.wait()
        try:
            return await anext(self._next)
        except StopAsyncIteration:
            self._next = None
            return Pause()


@define(eq=False)
class ListeningStream:
    """A call of `listen`, which runs as a task until it fails or is closed. It hears one utterance at a time."""

    stt: ListeningSTT
    #: The stream has ended or failed.
    is_over: bool = field(default=False, init=False)
    _error: BaseException | None = field(default=None, init=False)
    _feed: _Feed = field(factory=_Feed, init=False)
    _scope: anyio.CancelScope = field(factory=anyio.CancelScope, init=False)
    _take: Callable[[STTPiece], None] | None = field(default=None, init=False)
    #: Set when the utterance is settled, or the stream is over.
    _heard: anyio.Event = field(factory=anyio.Event, init=False)
    _settled: bool = field(default=False, init=False)

    def start(self, tasks: TaskGroup) -> None:
        """Open the stream."""
        tasks.start_soon(self._run)

    def close(self) -> None:
        """Close the stream. The provider drops the work that it has not finished."""
        self.is_over = True
        self._scope.cancel()

    async def hear(self, audio: ReplayableStream[Audio], take: Callable[[STTPiece], None]) -> None:
        """Send an utterance, and pass what the STT finds in it to `take`, until all of it is recognised.

        If it is cancelled or fails, the stream is closed: what would come next belongs to this utterance.
        """
        self._take, self._heard, self._settled = take, anyio.Event(), False
        try:
            self._feed.add(audio)
            if not self.is_over:
                await self._heard.wait()
            if not self._settled:  # a stream may well end after its answer
                raise self._error or ProviderError("The STT", "unavailable", retryable=True)
        except BaseException:
            self.close()
            raise
        finally:
            self._take = None

    async def _run(self) -> None:
        try:
            with self._scope:
                stream = self.stt.listen(ListenRequest(self._feed))
                async with closing(stream, self.stt.listen, "an STT's listen()", _PIECES_OF_LISTEN) as pieces:
                    await self._deliver(pieces)
                log.warning("an STT (%s) ended its listen() by itself", class_of_provider(self.stt.listen))
        except BaseException as error:
            let_cancellation_through(error)
            self._error = error
        finally:
            self.is_over = True
            self._heard.set()

    async def _deliver(self, pieces: AsyncIterator[object]) -> None:
        count = 0
        async for piece in pieces:
            count += 1
            if count % BATCH == 0:
                await anyio.lowlevel.checkpoint()
            match piece:
                case Transcript() | Usage():
                    if self._take is not None:  # otherwise it has come too late
                        self._take(piece)
                case Settled():
                    if self._feed.is_paused:
                        self._settled = True
                        self._heard.set()
                case SpeechBegan() | SpeechEnded():
                    pass  # the VAD decides
                case other:
                    raise InvalidPiece(other, "an STT's listen()", _PIECES_OF_LISTEN)


# ---- with endpoints ------------------------------------------------------------------------------------------------

_PIECES_WITH_ENDPOINTS: Final = "Transcript(…), SpeechBegan(), SpeechEnded(), Settled() or Usage(…)"

#: How many frames may wait for the STT: a minute. Older ones are dropped.
_MOST_WAITING: Final = 2000


@define(eq=False)
class EndpointingStream:
    """A call of `listen` with `endpointing`, which runs as a task until it fails or is closed."""

    stt: ListeningSTT
    #: The vendor has found that the user speaks.
    speaking: bool = False
    #: The stream has ended or failed.
    is_over: bool = field(default=False, init=False)
    #: Something has come of it.
    works: bool = field(default=False, init=False)
    error: BaseException | None = field(default=None, init=False)
    _feed: Feed[Audio | Pause] = field(factory=lambda: Feed[Audio | Pause](_MOST_WAITING), init=False)
    _scope: anyio.CancelScope = field(factory=anyio.CancelScope, init=False)
    _take: Callable[[STTPiece], None] | None = field(default=None, init=False)
    #: Transcripts that came before the utterance was taken.
    _unread: list[STTPiece] = field(factory=list[STTPiece], init=False)
    #: The utterance that `hear` has taken, once the microphone has ended it.
    _ended: bool = field(default=False, init=False)
    _changed: Condition = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._changed = Condition(lambda: self.is_over or (self._ended and not self.speaking))

    def start(self, tasks: TaskGroup) -> None:
        """Open the stream."""
        tasks.start_soon(self._run)

    def close(self) -> None:
        """Close the stream. The provider drops the work that it has not finished."""
        self.is_over = True
        self._scope.cancel()
        self._changed.notify()

    def send(self, audio: Sequence[Audio | Pause]) -> None:
        """Send audio of the microphone."""
        self._feed.add(*audio)

    def is_speech(self) -> bool:
        """Return whether the user speaks. Words that come late count as speech for a moment."""
        return not self.is_over and (self.speaking or bool(self._unread and self._take is None))

    async def hear(self, audio: ReplayableStream[Audio], take: Callable[[STTPiece], None]) -> None:
        """Pass what the STT finds in an utterance to `take`, until the vendor and the microphone have ended it.

        If it is cancelled or fails, the stream is closed.
        """
        self._take, self._ended = take, False
        try:
            unread, self._unread = self._unread, []
            for piece in unread:
                take(piece)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch, audio)
                await self._changed.wait()
                tasks.cancel_scope.cancel()
            if self.is_over and not (self._ended and not self.speaking):
                raise self.error or ProviderError("The STT", "unavailable", retryable=True)
        except BaseException:
            self.close()
            raise
        finally:
            self._take = None

    async def _watch(self, audio: ReplayableStream[Audio]) -> None:
        await audio.wait_for_end()
        self._ended = True
        if self.speaking:  # the microphone is off, or the turn is too long
            self._feed.add(Pause())
        self._changed.notify()

    async def _run(self) -> None:
        try:
            with self._scope:
                stream = self.stt.listen(ListenRequest(self._feed, endpointing=True))
                async with closing(stream, self.stt.listen, "an STT's listen()", _PIECES_WITH_ENDPOINTS) as pieces:
                    await self._deliver(pieces)
                log.warning("an STT (%s) ended its listen() by itself", class_of_provider(self.stt.listen))
        except BaseException as error:
            let_cancellation_through(error)
            self.error = error
        finally:
            self.is_over = True
            self._changed.notify()

    async def _deliver(self, pieces: AsyncIterator[object]) -> None:
        count = 0
        async for piece in pieces:
            self.works = True
            count += 1
            if count % BATCH == 0:
                await anyio.lowlevel.checkpoint()
            match piece:
                case SpeechBegan():
                    self.speaking = True
                case SpeechEnded() | Settled():
                    self.speaking = False
                    self._changed.notify()
                case Transcript() | Usage():
                    self._found(piece)
                case other:
                    raise InvalidPiece(other, "an STT's listen()", _PIECES_WITH_ENDPOINTS)

    def _found(self, piece: STTPiece) -> None:
        if self._take is not None:
            self._take(piece)
        elif self.speaking or (isinstance(piece, Transcript) and piece.final and piece.text.strip()):
            self._unread.append(piece)


@define(eq=False)
class Streams:
    """The streams of one session's STTs, one at a time."""

    session: Session
    #: The STT, as the bot has received it.
    stt: object
    tasks: TaskGroup
    #: Whether the vendors find the utterances.
    endpointing: bool
    #: The stream, from one utterance to the next.
    _stream: ListeningStream | EndpointingStream | None = None
    #: The last stream that is over, how many have failed in a row, and when the next one may be opened.
    _over: EndpointingStream | None = None
    _failures: int = 0
    _open_at: float = 0.0

    def of(
        self, provider: object, utterance: ReplayableStream[Audio] | None
    ) -> ListeningStream | EndpointingStream | None:
        """Return the stream of a provider that can listen. Open one if it has none, and close any other.

        With endpointing, another stream hears the present utterance from its beginning. Outside of an utterance, one
        that is over is only replaced after a while.
        """
        stream = self._stream
        if stream is not None and stream.stt is not provider:
            stream.close()
            stream = None
        if isinstance(stream, EndpointingStream) and stream.is_over and not self._may_open(stream, utterance):
            return stream
        if stream is not None and stream.is_over:
            stream.close()
            stream = None
        if stream is None and isinstance(provider, ListeningSTT):
            stream = EndpointingStream(provider) if self.endpointing else ListeningStream(provider)
            if isinstance(stream, EndpointingStream) and utterance is not None:
                stream.speaking = True
                stream.send(utterance.items)
            stream.start(self.tasks)
        self._stream = stream
        return stream

    def _may_open(self, stream: EndpointingStream, utterance: ReplayableStream[Audio] | None) -> bool:
        now = self.session.clock.now()
        if self._over is not stream:
            self._over = stream
            self._failures = 1 if stream.works else self._failures + 1
            error = None if stream.error is None else self._failure(stream.error)
            self._open_at = now + reopening_delay(self._failures, error)
            if error is not None and utterance is None:
                self.tasks.start_soon(self._replace, error, is_reported(self._failures, error))
        return utterance is not None or now >= self._open_at

    def _failure(self, error: BaseException) -> ProviderError:
        return as_provider_error(error, "an STT", "listened", self.session.alternatives(self.stt).provider)

    async def _replace(self, error: ProviderError, is_news: bool) -> None:
        """Let the next provider listen, or report the failure if none takes over."""
        if not await self.session.alternatives(self.stt).failed(error) and is_news:
            self.session.fail(error)
