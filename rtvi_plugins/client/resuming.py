"""Come back to a session after its connection was lost.

The client keeps the requests that are not answered, and the last 32 messages without an answer, such as texts of the
user and results of functions. After the resume the bot sends the answers that the client has missed, and asks for the
messages that never arrived. So each request is answered once, and executed at most once.

The bot asks in the order of the ids in `client-ready`. The last of them is a mark, the id of no message: when the bot
asks for the mark, it has asked for everything. Only then does the client send what was written since the connection was
lost. So all messages arrive in their order.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import anyio
from anyio.abc import ObjectStream
from attrs import define, field

from ..errors import RequestError
from ..utils.json_values import is_object

__all__ = ("Reconnect", "Resumption")

_log = logging.getLogger("rtvi_plugins")

#: Starts with a resume token, and returns the stream of the new connection. Raise `RequestError` if that fails.
Reconnect = Callable[[str], Awaitable[ObjectStream[str]]]

#: The longest delay before an attempt, in seconds. All clients of a lost process would come back at once without one.
DELAY: Final = 2.0


@define(eq=False)
class Resumption:
    """The resume token of a session, and what a client must know to use it after its connection was lost."""

    reconnect: Reconnect | None
    delay: float = DELAY
    #: Set while there is a connection on which the bot is ready, and has asked for everything that was lost.
    connected: anyio.Event = field(factory=anyio.Event)
    #: When the bot asks for this id, it has asked for everything. Empty on the first connection.
    mark: str = ""
    #: Of the messages that wait for a connection, the oldest is sent first.
    _turn: anyio.Lock = field(factory=lambda: anyio.Lock(fast_acquire=True))
    #: The messages since the last `bot-ready`, this one included.
    received: int = 0
    _resume_token: str = ""
    #: How long the bot waits, and until when it waits now, in seconds of anyio's clock.
    _resumable_seconds: float = 0.0
    _resumable_until: float | None = None

    @property
    def is_possible(self) -> bool:
        """Return whether the session can be resumed."""
        return self.reconnect is not None and bool(self._resume_token)

    def ready(self, data: Any) -> bool:
        """Take the data of a `bot-ready`. Return whether another process continues: unfinished answers start again."""
        about: Any = data.get("about") if is_object(data) else None
        offer: Any = about.get("resume") if is_object(about) else None
        if is_object(offer) and isinstance(token := offer.get("token"), str):
            self._resume_token = token
            seconds: Any = offer.get("seconds")
            self._resumable_seconds = float(seconds) if isinstance(seconds, int | float) else 0.0
        else:
            self._resume_token = ""
        self.received, self._resumable_until = 1, None
        if not (self.mark and self.is_possible):  # then nobody asks for it
            self.connected.set()
        return is_object(offer) and offer.get("restored") is True

    async def wait(self) -> None:
        """Wait for the next connection if this one was lost, and for the messages that were written before."""
        async with self._turn:
            while self.is_possible and not self.connected.is_set():  # it may be lost again
                await self.connected.wait()

    def lost(self) -> None:
        """Note that the connection was lost."""
        if self.connected.is_set():
            self.connected = anyio.Event()

    def introduction(self, waiting: list[str], mark: str) -> Mapping[str, Any]:
        """Return the fields of `client-ready` that are about the connection before. No message has the id `mark`."""
        self.mark = mark
        return {"waiting": [*waiting, mark], "received": self.received}

    async def come_back(self) -> ObjectStream[str] | None:
        """Return a new connection. Return None if the session is over, or does not wait any longer."""
        if self.reconnect is None or not self._resume_token:
            return None
        if self._resumable_until is None:
            self._resumable_until = anyio.current_time() + self._resumable_seconds
        delay = self.delay
        while True:
            await anyio.sleep(random.uniform(0, delay))
            if anyio.current_time() >= self._resumable_until:
                return None
            try:
                return await self.reconnect(self._resume_token)
            except RequestError as error:
                if not error.retryable:
                    _log.warning("the session cannot be resumed: %s", error.message)
                    return None
            delay = max(delay, 0.2)
