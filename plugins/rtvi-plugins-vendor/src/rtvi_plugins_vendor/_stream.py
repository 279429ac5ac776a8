"""The messages of one request over a WebSocket, sent and received."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup
from attrs import define, field

from rtvi_plugins.errors import ProviderError

from ._connection import Connection, Outgoing
from ._inbox import Inbox

__all__ = ("WebSocketStream",)

#: After how many messages a sender lets others run, because writing may never wait.
_MANY_MESSAGES = 16


@define(eq=False)
class WebSocketStream:
    """The messages of one request. Iterate over it to receive: JSON values, and bytes from binary messages.

    You may leave it anywhere. Iteration ends when the vendor closes the connection normally. It raises
    `ProviderError` if the connection breaks, or if the vendor sends nothing for the `timeout` of the service. The
    vendor may be silent while `sending` still has messages to send.
    """

    _connection: Connection = field(repr=False)
    _inbox: Inbox = field(repr=False)
    _tasks: TaskGroup = field(repr=False)

    @property
    def provider(self) -> str:
        """The name in errors."""
        return self._inbox.provider

    @property
    def timeout(self) -> float:
        """How long the vendor may be silent, in seconds."""
        return self._inbox.timeout

    @property
    def is_late(self) -> bool:
        """Whether the last `ProviderError` means that no message came in time."""
        return self._inbox.is_late

    def expect(self, seconds: float | None) -> None:
        """Raise `ProviderError` where the reader waits if no message comes for this time, also during `sending`.

        It stays so for all messages until the next call. None is no limit.
        """
        deadline = math.inf if seconds is None else anyio.current_time() + seconds
        self._inbox.want_by(deadline)
        self._connection.look_by(deadline)

    def post(self, message: Outgoing) -> None:
        """Have a message written, and do not wait for that. The reader learns if the connection has ended."""
        self._connection.post(message)

    async def send(self, message: Outgoing) -> None:
        """Send bytes, text, or a value as JSON. It returns once the message is written.

        Raise `ProviderError` if the connection has ended. A cancelled call may still send the whole message.
        """
        batch = self._connection.post(message)
        if batch is None or not await batch.wait():
            failure = self._connection.failure
            raise failure() if failure else ProviderError(self._inbox.provider, "unavailable")
        await anyio.lowlevel.checkpoint()  # writing may never wait, and others must run

    @asynccontextmanager
    async def sending(self, messages: AsyncIterable[Outgoing]) -> AsyncGenerator[None]:
        """Send messages, one by one, beside the block. Leaving the block stops it.

        An exception of `messages` is raised where the block receives. A generator is closed in the task that reads it.
        """
        scope, done = anyio.CancelScope(), anyio.Event()

        async def run() -> None:
            try:
                with scope:
                    await self._send_all(messages)
            except Exception as error:
                raised = error
                self._inbox.end(lambda: raised)
            finally:
                self._inbox.count_senders(-1)
                done.set()

        self._inbox.count_senders(1)
        self._tasks.start_soon(run)
        try:
            yield
        finally:
            if not done.is_set():
                scope.cancel()
                with anyio.CancelScope(shield=True):
                    await done.wait()

    def deliver(self, message: object) -> None:
        """Have the reader receive a message of your own, after those that have arrived. `sending` may call it."""
        self._inbox.put(message, 0)

    def finish(self) -> None:
        """Note that the vendor has finished, so that `goodbye` is not sent."""
        self._inbox.finished = True

    def __aiter__(self) -> WebSocketStream:
        return self

    def __anext__(self) -> Awaitable[Any]:
        return self._inbox.receive()

    async def _send_all(self, messages: AsyncIterable[Outgoing]) -> None:
        number = 0
        try:
            async for message in messages:
                number += 1
                if number % _MANY_MESSAGES == 0:
                    await anyio.lowlevel.checkpoint()
                if (batch := self._connection.post(message)) is None:
                    return  # the reader learns why
                # Audio comes often, and a wait for each message would cost as much as writing it.
                if batch.is_large or not isinstance(message, bytes):
                    await batch.wait()
        finally:
            if isinstance(messages, AsyncGenerator):
                with anyio.CancelScope(shield=True):
                    await messages.aclose()
