"""A stream of a continuous STT: opened once, for all utterances of a session, and again after a failure."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
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
from .streams import BATCH, InvalidPiece, ReplayableStream, closing, let_cancellation_through

__all__ = ("ListeningStream",)

_PIECES: Final = "Transcript(…), Settled() or Usage(…)"


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
        """Close the stream, which makes the provider drop what it still does."""
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
                async with closing(stream, self.stt.listen, "an STT's listen()", _PIECES) as pieces:
                    await self._deliver(pieces)
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
                    if self._take is not None:  # else it is late, and nobody waits for it
                        self._take(piece)
                case Settled():
                    if self._feed.is_paused:
                        self._settled = True
                        self._heard.set()
                case SpeechBegan() | SpeechEnded():
                    pass  # the VAD decides
                case other:
                    raise InvalidPiece(other, "an STT's listen()", _PIECES)
