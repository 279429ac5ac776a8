"""The messages of one stream of a WebSocket that wait to be read."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

import anyio
from attrs import define, field

from rtvi_plugins.errors import ProviderError

__all__ = ("Failure", "Inbox")

#: Makes an exception to raise.
Failure: TypeAlias = "Callable[[], Exception]"

#: The most bytes that may wait until a stream is read. About 20 minutes of audio at 24 kHz in base64.
_LONGEST_INBOX = 64 * 1024 * 1024


@define(eq=False)
class Inbox:
    """The messages of one stream that wait to be read."""

    provider: str
    timeout: float
    #: Whether a normal close of the connection is the end of the stream, and not its loss.
    ends_with_connection: bool
    over: bool = False
    #: Whether the vendor has finished, so that no goodbye is needed.
    finished: bool = False
    _items: deque[tuple[Any, int]] = field(factory=deque[tuple[Any, int]])
    _size: int = 0
    _failure: Failure | None = None
    _senders: int = 0
    _news: anyio.Event = field(factory=anyio.Event)
    _wait: anyio.CancelScope = field(factory=anyio.CancelScope)

    def put(self, message: Any, size: int) -> None:
        """Add a message, unless the reader is too far behind."""
        if self._size + size > _LONGEST_INBOX:
            self.end(lambda: ProviderError(self.provider, "unavailable"))
        if not self.over:
            self._items.append((message, size))
            self._size += size
            self._news.set()

    def end(self, failure: Failure | None) -> None:
        """End after the messages that wait."""
        if not self.over:
            self.over, self._failure = True, failure
            self._news.set()

    async def receive(self) -> Any:
        """Return the next message. `StopAsyncIteration` is the end."""
        while not self._items:
            if self.over and self._failure is None and self.ends_with_connection:
                raise StopAsyncIteration
            if self.over:
                raise self._failure() if self._failure else ProviderError(self.provider, "unavailable")
            self._news = anyio.Event()
            with anyio.CancelScope(deadline=self._deadline()) as self._wait:
                await self._news.wait()
            if self._wait.cancelled_caught:
                raise ProviderError(self.provider, "timeout")
        message, size = self._items.popleft()
        self._size -= size
        return message

    def count_senders(self, change: int) -> None:
        """While anything is being sent, the vendor may be silent."""
        self._senders += change
        self._wait.deadline = self._deadline()

    def _deadline(self) -> float:
        return math.inf if self._senders else anyio.current_time() + self.timeout
