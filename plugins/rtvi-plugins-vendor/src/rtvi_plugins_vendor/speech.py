"""What speech vendors have in common: audio in batches, pauses that the vendor answers, and whole samples.

::

    listening = Listening("acme", timeout=10)
    sent = listening.messages(request.audio, pause={"type": "Finalize"})
    async with acme.open("listen") as stream, stream.sending(sent):
        while True:
            message = await listening.receive(stream)
            ...
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import anyio
from attrs import define, field

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import Audio, Pause, Usage

from ._connection import Outgoing
from ._stream import WebSocketStream

__all__ = ("CountedAudio", "Listening", "Samples", "audio_messages", "texts_to_speak")

#: How many frames of 32 ms are sent in one message. Fewer messages cost less, and 96 ms are soon enough.
_FRAMES = 3


@define(eq=False)
class CountedAudio(AsyncIterator[Audio | Pause]):
    """The audio of a request, and its length so far in seconds. Vendors charge for it."""

    audio: AsyncIterator[Audio | Pause]
    _seconds: float = field(default=0.0, init=False)

    @property
    def seconds(self) -> float:
        return round(self._seconds, 6)

    async def __anext__(self) -> Audio | Pause:
        each = await anext(self.audio)
        if isinstance(each, Audio):
            self._seconds += each.seconds
        return each


async def audio_messages(
    audio: AsyncIterator[Audio | Pause], *, pause: Outgoing | None = None, end: Outgoing | None = None, least: int = 0
) -> AsyncGenerator[Outgoing]:
    """Yield the PCM of three frames at a time, `pause` for each `Pause`, and `end` when the audio has ended.

    Silence is added to a message that would have less than `least` bytes.
    """
    batch: list[bytes] = []

    def rest() -> bytes:
        data = b"".join(batch)
        batch.clear()
        return data + bytes(max(0, least - len(data)))

    async for each in audio:
        if isinstance(each, Audio):
            batch.append(each.data)
            if len(batch) == _FRAMES:
                yield rest()
            continue
        if batch:
            yield rest()
        if pause is not None:
            yield pause
    if batch:
        yield rest()
    if end is not None:
        yield end


@define(eq=False)
class Listening:
    """One call of `listen`: it sends utterances, and knows how long the vendor may take to answer a pause.

    - `timeout`: how long the vendor may be silent after a pause, in seconds, if it has sent nothing for the utterance.
    - `quiet`: how long it may be silent after a pause, in seconds, if it has. For vendors that do not answer each one.
    - `hears_silence`: whether the vendor sends something for each utterance. If not, it is enough that it has sent
      anything since the connection was opened.
    """

    provider: str
    timeout: float
    quiet: float = 1.0
    hears_silence: bool = True
    #: Whether a pause waits for its answer.
    is_paused: bool = field(default=False, init=False)
    _audio: CountedAudio | None = field(default=None, init=False)
    _used: float = field(default=0.0, init=False)
    _heard: bool = field(default=False, init=False)
    _patience: anyio.CancelScope = field(factory=anyio.CancelScope, init=False)

    async def messages(
        self, audio: AsyncIterator[Audio | Pause], pause: Outgoing, *, least: int = 0
    ) -> AsyncGenerator[Outgoing]:
        """Yield what to send, as `audio_messages` does."""
        self._audio = CountedAudio(audio)
        async with aclosing(audio_messages(self._audio, pause=pause, least=least)) as messages:
            async for message in messages:
                if message is pause:
                    self.is_paused = True
                    self._patience.deadline = self._deadline()
                yield message

    async def receive(self, stream: WebSocketStream) -> object:
        """Return the next message, or None if the vendor is quiet after a pause: it has nothing to add.

        Raises `ProviderError` if the vendor has ended the stream, or says nothing at all.
        """
        with anyio.CancelScope(deadline=self._deadline()) as self._patience:
            try:
                message: object = await anext(stream)
            except StopAsyncIteration:
                raise ProviderError(self.provider, "unavailable") from None
            self._heard = True
            return message
        if not self._heard:
            raise ProviderError(self.provider, "timeout")
        return None

    def settle(self) -> Usage:
        """Note that the pause was answered. Return the length of the audio since the last one."""
        self.is_paused = False
        self._heard = self._heard and not self.hears_silence
        return self.usage()

    def usage(self) -> Usage:
        """Return the length of the audio since the last call, or since the last pause."""
        seconds = self._audio.seconds if self._audio else 0.0
        used, self._used = round(seconds - self._used, 6), seconds
        return Usage(seconds=used)

    def _deadline(self) -> float:
        if not self.is_paused:
            return math.inf
        return anyio.current_time() + (self.quiet if self._heard else self.timeout)


async def texts_to_speak(text: AsyncIterator[str]) -> AsyncIterator[str] | None:
    """Wait for the first text that is not blank. Return an iterator of all of them, or None if there is none.

    Some vendors never answer a request without text, so do not send one.
    """
    async for first in text:
        if first.strip():
            return _Texts(text, first)
    return None


@define(eq=False)
class _Texts(AsyncIterator[str]):
    """Texts that are not blank. It is not a generator, because nobody would close that."""

    text: AsyncIterator[str]
    first: str = ""

    async def __anext__(self) -> str:
        found, self.first = self.first, ""
        while not found.strip():
            found = await anext(self.text)
        return found


@define(eq=False)
class Samples:
    """Makes `Audio` with whole frames of 16-bit samples of the bytes that a vendor sends."""

    rate: int
    channels: int = 1
    #: The length of all audio so far, in seconds.
    seconds: float = field(default=0.0, init=False)
    _rest: bytes = field(default=b"", init=False)

    def take(self, data: bytes) -> list[Audio]:
        """Return the audio of these bytes: one piece, or none. Half a frame is kept for the next call."""
        data = self._rest + data
        whole = len(data) - len(data) % (2 * self.channels)
        self._rest = data[whole:]
        if not whole:
            return []
        audio = Audio(data[:whole], self.rate, self.channels)
        self.seconds += audio.seconds
        return [audio]
