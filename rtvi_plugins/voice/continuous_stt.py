"""The stream of a continuous STT: opened once, for all utterances of a session, and again after a failure.

With endpointing, the vendor finds the utterances: all audio goes in, and the vendor says when the user speaks. To the
user's audio, such a stream is a VAD. To the recogniser, any stream hears one utterance at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from ..errors import ProviderError
from ..kinds import (
    Audio,
    ListeningSTT,
    ListenPiece,
    ListenRequest,
    Pause,
    Settled,
    SpeechBegan,
    SpeechEnded,
    STTPiece,
    Transcript,
    Usage,
)
from ..session import Alternatives, Session
from ..utils.waiting import Condition
from .provider_streams import (
    Feed,
    ReplayableStream,
    StreamFailures,
    as_provider_error,
    class_of_provider,
    let_cancellation_through,
    reading,
)

__all__ = ("ListeningStream", "Streams")

log = logging.getLogger("rtvi_plugins")

#: How many frames may wait for the STT with endpointing: a minute. Older ones are dropped.
_MOST_WAITING: Final = 2000


@define(eq=False)
class ListeningStream:
    """A call of `listen`, which runs as a task until it fails or is closed."""

    stt: ListeningSTT
    #: The vendor finds the utterances.
    endpointing: bool
    #: The user speaks, as the vendor has found. Without endpointing: an utterance is not settled.
    speaking: bool = False
    #: The vendor has sent something.
    works: bool = field(default=False, init=False)
    #: The stream has ended or failed.
    is_over: bool = field(default=False, init=False)
    error: BaseException | None = field(default=None, init=False)
    _feed: Feed[Audio | Pause] = field(init=False)
    _scope: anyio.CancelScope = field(factory=anyio.CancelScope, init=False)
    _take_transcript: Callable[[STTPiece], None] | None = field(default=None, init=False)
    #: Transcripts that came before the utterance was taken.
    _unread_transcripts: list[STTPiece] = field(factory=list[STTPiece], init=False)
    #: All audio of the utterance that `hear` has taken was sent.
    _utterance_sent: bool = field(default=False, init=False)
    _heard_or_over: Condition = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._feed = Feed(_MOST_WAITING if self.endpointing else None)
        self._heard_or_over = Condition(lambda: self.is_over or self._is_heard)

    @property
    def _is_heard(self) -> bool:
        return self._utterance_sent and not self.speaking

    def start(self, tasks: TaskGroup) -> None:
        tasks.start_soon(self._listen)

    def close(self) -> None:
        """Close the stream. The provider drops the work that it has not finished."""
        self.is_over = True
        self._scope.cancel()
        self._heard_or_over.notify()

    def send(self, audio: Sequence[Audio | Pause]) -> None:
        """Send audio of the microphone, for a vendor that finds the utterances."""
        self._feed.add(*audio)

    def is_speech(self) -> bool:
        """Return whether the user speaks. Words that come late count as speech for a moment."""
        return not self.is_over and (self.speaking or bool(self._unread_transcripts and self._take_transcript is None))

    async def hear(self, audio: ReplayableStream[Audio], take: Callable[[STTPiece], None]) -> None:
        """Pass what the STT finds in an utterance to `take`, until all of it is sent and recognised.

        If it is cancelled or fails, the stream is closed: what would come next belongs to this utterance.
        """
        self._take_transcript, self._utterance_sent = take, False
        try:
            unread, self._unread_transcripts = self._unread_transcripts, []
            for piece in unread:
                take(piece)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._follow, audio)
                await self._heard_or_over.wait()
                tasks.cancel_scope.cancel()
            if not self._is_heard:  # a stream may well end after its answer
                raise self.error or ProviderError("The STT", "unavailable", retryable=True)
        except BaseException:
            self.close()
            raise
        finally:
            self._take_transcript = None

    async def _follow(self, audio: ReplayableStream[Audio]) -> None:
        """Send an utterance, unless the vendor got its audio already, and a pause."""
        if self.endpointing:
            await audio.wait_for_end()
        else:
            self.speaking = True
            async for frame in audio.read():
                self._feed.add(frame)
        self._utterance_sent = True
        if self.speaking:  # with endpointing: the microphone is off, or the turn is too long
            self._feed.add(Pause())
        self._heard_or_over.notify()

    async def _listen(self) -> None:
        try:
            with self._scope:
                request = ListenRequest(self._feed, self.endpointing)
                async with reading(self.stt.listen, request, "an STT's listen()", ListenPiece) as pieces:
                    async for piece in pieces:
                        self.works = True
                        self._receive(piece)
                log.warning("an STT (%s) ended its listen() by itself", class_of_provider(self.stt.listen))
        except BaseException as error:
            let_cancellation_through(error)
            self.error = error
        finally:
            self.is_over = True
            self._heard_or_over.notify()

    def _receive(self, piece: ListenPiece) -> None:
        match piece:
            case Transcript() | Usage():
                self._receive_transcript(piece)
            case SpeechBegan():
                self.speaking = self.speaking or self.endpointing
            case SpeechEnded() | Settled():
                if self.endpointing or (isinstance(piece, Settled) and self._utterance_sent and not self._feed):
                    self.speaking = False
                    self._heard_or_over.notify()

    def _receive_transcript(self, piece: STTPiece) -> None:
        if self._take_transcript is not None:
            self._take_transcript(piece)
        elif not self.endpointing:
            pass  # it came too late
        elif self.speaking or (isinstance(piece, Transcript) and piece.final and piece.text.strip()):
            self._unread_transcripts.append(piece)


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
    _stream: ListeningStream | None = None
    #: The last stream that is over, the failures in a row, and when the next stream may be opened.
    _ended_stream: ListeningStream | None = None
    _failures: StreamFailures = field(factory=StreamFailures)
    #: The providers that take over outside of utterances, until one works.
    _alternatives: Alternatives | None = None
    _reopen_at: float = 0.0

    def of(self, provider: object, utterance: ReplayableStream[Audio] | None) -> ListeningStream | None:
        """Return the stream of a provider that can listen. Open one if it has none, and close any other.

        With endpointing, another stream hears the present utterance from its beginning. Outside of an utterance, one
        that is over is only replaced after a while.
        """
        stream = self._stream
        if stream is not None and stream.stt is not provider:
            stream.close()
            stream = None
        if stream is not None and stream.is_over:
            if self.endpointing and not self._may_reopen(stream, utterance):
                return stream
            stream = None
        if stream is None and isinstance(provider, ListeningSTT):
            stream = ListeningStream(provider, self.endpointing)
            if self.endpointing and utterance is not None:
                stream.speaking = True
                stream.send(utterance.items)
            stream.start(self.tasks)
        self._stream = stream
        return stream

    def _may_reopen(self, stream: ListeningStream, utterance: ReplayableStream[Audio] | None) -> bool:
        now = self.session.clock.now()
        if self._ended_stream is not stream:
            self._ended_stream = stream
            if stream.works:
                self._failures.clear()
                self._alternatives = None
            self._failures.count += 1
            error: ProviderError | None = None
            if stream.error is not None:
                provider = self.session.alternatives(self.stt).provider
                error = as_provider_error(stream.error, "an STT", "listened", provider)
            self._reopen_at = now + self._failures.delay(error)
            if error is not None and utterance is None:
                self.tasks.start_soon(self._replace_stt, error)
        return utterance is not None or now >= self._reopen_at

    async def _replace_stt(self, error: ProviderError) -> None:
        """Let the next provider listen, or report the failure if none takes over."""
        self._alternatives = others = self._alternatives or self.session.alternatives(self.stt)
        if await others.failed(error):
            return
        self._alternatives = None  # begin with the first one again
        if self._failures.is_news(error):
            self._failures.is_reported = True
            self.session.fail(error)
