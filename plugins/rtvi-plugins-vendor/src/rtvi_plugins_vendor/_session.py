"""A WebSocket of httpx2 whose reader waits for the network itself, without a task and a queue in between."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

import anyio
import httpcore2
from httpx2.websockets import AsyncWebSocketSession, WebSocketNetworkError
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Event, Message, Ping, Pong
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

__all__ = ("CLOSING_SECONDS", "Session")

#: How long the last messages of a connection, and its close frame, may take, in seconds.
CLOSING_SECONDS = 1.0
#: The most bytes to read at once. On trio, that much memory is taken for each read.
_AT_ONCE = 64 * 1024


class Session(AsyncWebSocketSession):
    """One open connection. One task may read and others send."""

    def __init__(self, stream: Any, *, max_message_size_bytes: int, **settings: Any) -> None:
        super().__init__(stream, max_message_size_bytes=max_message_size_bytes, **settings)
        self._longest = max_message_size_bytes
        self._ping_every: float = settings["keepalive_ping_interval_seconds"]
        self._patience: float = settings["keepalive_ping_timeout_seconds"]
        self._events: Iterator[Event] = iter(())
        #: The parts of a message that is not complete, and their size.
        self._parts: list[Any] = []
        self._size = 0
        self._pong = anyio.Event()
        # Where nobody else writes, it costs no turn of the event loop.
        self._writing = anyio.Lock(fast_acquire=True)

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[Self]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_alive)
            try:
                yield self
            finally:
                tasks.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    await self.close()

    async def next_message(self) -> str | bytes | CloseConnection:
        """Return the next message, or the end of the connection. Raise `WebSocketNetworkError` if it is lost."""
        while True:
            for event in self._events:
                if (found := await self._take(event)) is not None:
                    return found
            try:
                data = await self.stream.read(_AT_ONCE)
            except httpcore2.ReadError:
                data = b""
            if not data:
                raise WebSocketNetworkError
            self.connection.receive_data(data)
            self._events = self.connection.events()

    async def send(self, event: Event) -> None:
        """Send an event. Raise `WebSocketNetworkError` if the connection is lost."""
        async with self._writing:
            data = self.connection.send(event)
            try:
                await self.stream.write(data)
            except httpcore2.WriteError as error:
                raise WebSocketNetworkError from error

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Close the connection, with a close frame if the vendor takes it in time."""
        # It is called under a shield, and a vendor that no longer reads would block it.
        with anyio.move_on_after(CLOSING_SECONDS):
            if self.connection.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
                with suppress(WebSocketNetworkError, LocalProtocolError):
                    await self.send(CloseConnection(code, reason))
        await self.stream.aclose()

    async def _take(self, event: Event) -> str | bytes | CloseConnection | None:
        if isinstance(event, Message):
            return await self._join(event)
        match event:
            case CloseConnection():
                return event
            case Ping():
                await self.send(event.response())
            case Pong():
                self._pong.set()
            case _:
                pass
        return None

    async def _join(self, event: Any) -> str | bytes | CloseConnection | None:
        """Return a message once all of its parts are here."""
        self._size += len(event.data)
        if self._size > self._longest:
            await self.send(closing := CloseConnection(CloseReason.MESSAGE_TOO_BIG, "Message too big"))
            return closing
        self._parts.append(event.data)
        if not event.message_finished:
            return None
        data = event.data if len(self._parts) == 1 else event.data[:0].join(self._parts)
        self._parts, self._size = [], 0
        return data if isinstance(data, str) else bytes(data)

    async def _keep_alive(self) -> None:
        """Ping, so that a dead connection is noticed."""
        while True:
            await anyio.sleep(self._ping_every)
            self._pong = anyio.Event()
            try:
                await self.send(Ping())
            except LocalProtocolError:  # it is being closed
                return
            with anyio.move_on_after(self._patience) as scope:
                await self._pong.wait()
            if scope.cancelled_caught:
                raise WebSocketNetworkError
