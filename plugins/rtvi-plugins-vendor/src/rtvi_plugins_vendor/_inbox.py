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
    #: Nothing has come in time.
    is_late: bool = False
    #: When the reader began to wait.
    waits_since: float | None = None
    #: By when the reader must have a message, also while anything is being sent.
    wanted_by: float = math.inf
    _items: deque[tuple[Any, int]] = field(factory=deque[tuple[Any, int]])
    _size: int = 0
    _failure: Failure | None = None
    _senders: int = 0
    _news: anyio.Event = field(factory=anyio.Event)

    def put(self, message: Any, size: int) -> None:
        """Add a message, unless the reader is too far behind."""
        if self._size + size > _LONGEST_INBOX:
            self.end(lambda: ProviderError(self.provider, "unavailable"))
        if not self.over:
            self._items.append((message, size))
            self._size += size
            self._news.set()

    def end(self, failure: Failure | None) -> None:
        """End the inbox. The reader still receives the messages that wait, and then the failure, if any."""
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
            if self.is_late:
                raise ProviderError(self.provider, "timeout")
            self._news = anyio.Event()
            self.waits_since = anyio.current_time()
            try:
                await self._news.wait()
            finally:
                self.waits_since = None
        self.is_late = False  # it came after all
        message, size = self._items.popleft()
        self._size -= size
        return message

    def count_senders(self, change: int) -> None:
        """While anything is being sent, the vendor may be silent."""
        self._senders += change
        if self.waits_since is not None:
            self.waits_since = anyio.current_time()

    @property
    def deadline(self) -> float:
        """When the vendor must have sent something. The connection looks at it: a timer for each message costs more."""
        if self.waits_since is None:
            return math.inf
        return self.wanted_by if self._senders else min(self.wanted_by, self.waits_since + self.timeout)

    def want_by(self, deadline: float) -> None:
        """Set by when the reader must have a message. It may be late once more."""
        self.wanted_by, self.is_late = deadline, False

    def give_up(self) -> None:
        """Have the reader raise that nothing has come in time."""
        self.is_late = True
        self._news.set()
