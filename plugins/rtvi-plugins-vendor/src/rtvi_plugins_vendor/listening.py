"""Continuous recognition over a WebSocket: utterances are sent, and the vendor answers each pause.

::

    pause = {"type": "Finalize"}
    async with acme.open("listen") as stream, Listening(stream, request.audio, pause=pause) as listening:
        async for message in listening:
            ...
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from types import TracebackType
from typing import Any, Self

from attrs import define, field, setters

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import (
    Audio,
    ListenPiece,
    ListenRequest,
    Pause,
    Settled,
    STTPiece,
    STTRequest,
    Transcript,
    Usage,
)

from ._connection import Outgoing
from ._stream import WebSocketStream
from .speech import FRAMES, CountedAudio, audio_messages

__all__ = ("Listening", "one_utterance")


# The converter of one attribute would make all of them slow to set.
@define(eq=False, on_setattr=setters.NO_OP)
class Listening(AsyncIterator[Any]):
    """One call of `listen`: it sends utterances beside its block, and iterates over the messages of the vendor.

    Iteration never ends. It raises `ProviderError` if the vendor has ended the stream, or is silent after a pause for
    the `timeout` of the service.

    - `pause`: what is sent at each pause.
    - `quiet`: for a vendor that does not answer each pause. If it has sent something for the utterance, and is silent
      for this time in seconds, it has nothing to add. Then the message is None. A function returns the time when the
      pause has come.
    - `hears_silence`: whether the vendor sends something for each utterance. If not, it is enough that it has sent
      anything since the connection was opened.
    - `least`: the fewest bytes of a message with audio. See `audio_messages`.
    - `frames`: how many frames of 32 ms one message has. With more of them, the audio takes less CPU time, and interim
      transcripts come later. The last frames of an utterance are sent at its pause, however few they are.
    """

    stream: WebSocketStream
    audio: CountedAudio = field(converter=CountedAudio)
    pause: Outgoing = field(kw_only=True)
    quiet: float | Callable[[], float] | None = field(default=None, kw_only=True)
    hears_silence: bool = field(default=True, kw_only=True)
    least: int = field(default=0, kw_only=True)
    frames: int = field(default=FRAMES, kw_only=True)
    #: Whether a pause waits for its answer.
    is_paused: bool = field(default=False, init=False)
    #: How many bytes of audio were sent, with the silence that was added.
    sent_bytes: int = field(default=0, init=False)
    _used: float = field(default=0.0, init=False)
    _heard: bool = field(default=False, init=False)
    _sending: AbstractAsyncContextManager[None] = field(init=False)

    async def __aenter__(self) -> Self:
        self._sending = self.stream.sending(self._messages())
        await self._sending.__aenter__()
        return self

    async def __aexit__(
        self, type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._sending.__aexit__(type, error, traceback)

    async def __anext__(self) -> Any:
        if self.is_paused:
            self._expect()
        try:
            message: object = await anext(self.stream)
        except StopAsyncIteration:
            raise ProviderError(self.stream.provider, "unavailable") from None
        except ProviderError:
            if self.stream.is_late and self.is_paused and self.quiet is not None and self._heard:
                return None
            raise
        self._heard = True
        return message

    def settle(self) -> list[Usage | Settled]:
        """Return the pieces that answer a pause: the length of its audio, and `Settled`. Empty if no pause waits."""
        if not self.is_paused:
            return []
        self.is_paused = False
        self.stream.expect(None)
        self._heard = self._heard and not self.hears_silence
        return [self.usage(), Settled()]

    def usage(self) -> Usage:
        """Return the length of the audio since the last call of `usage` or `settle`."""
        seconds = self.audio.seconds
        used, self._used = round(seconds - self._used, 6), seconds
        return Usage(seconds=used)

    async def _messages(self) -> AsyncGenerator[Outgoing]:
        batches = audio_messages(self.audio, pause=self.pause, least=self.least, frames=self.frames)
        async with aclosing(batches) as messages:
            async for message in messages:
                if message is not self.pause:
                    self.sent_bytes += len(message)
                    yield message
                    continue
                self.is_paused = True
                # The user waits for what follows, so it is written before anything else is done.
                self.stream.post(message)
                self._expect()

    def _expect(self) -> None:
        quiet = self.quiet() if callable(self.quiet) else self.quiet
        quiet = quiet if self._heard else None
        self.stream.expect(self.stream.timeout if quiet is None else quiet)


async def one_utterance(
    listen: Callable[[ListenRequest], AsyncGenerator[ListenPiece]], request: STTRequest
) -> AsyncGenerator[STTPiece]:
    """Yield the transcripts of one utterance with `listen`, which opens a connection for it.

    So `transcribe` of a provider can be `return one_utterance(self.listen, request)`.
    """
    async with aclosing(listen(ListenRequest(_ThenPause(request.audio)))) as pieces:
        async for piece in pieces:
            if isinstance(piece, Settled):
                return
            if isinstance(piece, Transcript | Usage):
                yield piece
    raise ProviderError("The STT", "unavailable")


@define(eq=False)
class _ThenPause(AsyncIterator[Audio | Pause]):
    """The audio of an utterance, and a pause after it."""

    audio: AsyncIterator[Audio]
    _over: bool = False

    async def __anext__(self) -> Audio | Pause:
        if self._over:
            raise StopAsyncIteration
        try:
            return await anext(self.audio)
        except StopAsyncIteration:
            self._over = True
            return Pause()
