"""WebSockets of a service. A task of the service owns each connection, so a generator that uses it may end anywhere.

::

    async with connect_websockets("acme", api_key, base_url=base_url) as acme:
        async with acme.open("listen", goodbye={"type": "CloseStream"}) as stream, stream.sending(frames):
            async for message in stream:
                yield Transcript(message["text"], message["final"])

Generators must not contain a task group. So all tasks here belong to `connect_websockets`: one for each connection, and
one for each `sending`. Only the connection's own task writes, so a cancelled caller never leaves half a message.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from rtvi_plugins.errors import ProviderCategory, ProviderError
from rtvi_plugins.session import Secret

from ._connection import CLOSING_SECONDS, Address, Connection, Outgoing, Settings
from ._inbox import Inbox
from .failures import category_of_close
from .http import Retry, open_client

__all__ = ("SharedWebSocket", "VendorWebSockets", "WebSocketStream", "connect_websockets")

# ---- a stream --------------------------------------------------------------------------------------------------------


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

    async def send(self, message: Outgoing) -> None:
        """Send bytes, text, or a value as JSON. It returns once the message is written.

        Raises `ProviderError` if the connection has ended. A cancelled call may still send the whole message.
        """
        if not await self._send(message):
            failure = self._connection.failure
            raise failure() if failure else ProviderError(self._inbox.provider, "unavailable")

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
            scope.cancel()
            with anyio.CancelScope(shield=True):
                await done.wait()

    def finish(self) -> None:
        """Note that the vendor has finished, so that `goodbye` is not sent."""
        self._inbox.finished = True

    def __aiter__(self) -> WebSocketStream:
        return self

    async def __anext__(self) -> Any:
        return await self._inbox.receive()

    async def _send_all(self, messages: AsyncIterable[Outgoing]) -> None:
        try:
            async for message in messages:
                if not await self._send(message):
                    return  # the reader learns why
        finally:
            if isinstance(messages, AsyncGenerator):
                with anyio.CancelScope(shield=True):
                    await messages.aclose()

    async def _send(self, message: Outgoing) -> bool:
        letter = self._connection.post(message)
        await letter.done.wait()
        return letter.written


# ---- the service -----------------------------------------------------------------------------------------------------


@define(eq=False)
class _Service:
    """The connections of one service."""

    settings: Settings
    tasks: TaskGroup
    retry: Retry
    _open: set[Connection] = field(factory=set[Connection])

    async def dial(self, address: Address, route: Callable[[Any], object] | None = None) -> Connection:
        """Return an open connection. It tries as often as `retry` allows."""
        attempt = 0
        while True:
            try:
                return await self._dial_once(address, route)
            except ProviderError as failed:
                wait = self.retry.wait(attempt, failed.retry_after)
                if wait is None or not failed.retryable:
                    raise
            attempt += 1
            await anyio.sleep(wait)

    def inbox(self, connection: Connection, context: object, *, ends_with_connection: bool) -> Inbox:
        """Return the inbox of a new context."""
        inbox = Inbox(self.settings.provider, self.settings.timeout, ends_with_connection)
        if connection.inboxes.setdefault(context, inbox) is not inbox:
            raise ValueError(f"the context {context!r} is in use; choose a new one for each request")
        if connection.gone.is_set():
            inbox.end(connection.failure)
        return inbox

    async def close(self) -> None:
        """Close all connections. Messages that wait are written for at most a second."""
        connections = list(self._open)
        for connection in connections:
            connection.close()
        with anyio.move_on_after(CLOSING_SECONDS):
            for connection in connections:
                await connection.gone.wait()

    async def _dial_once(self, address: Address, route: Callable[[Any], object] | None) -> Connection:
        connection = Connection(self.settings, route)
        if route is None:  # the vendor may speak first
            self.inbox(connection, None, ends_with_connection=True)

        async def run() -> None:
            self._open.add(connection)
            try:
                await connection.run(address)
            finally:
                self._open.discard(connection)

        self.tasks.start_soon(run)
        try:
            with anyio.fail_after(self.settings.timeout):
                await connection.settled.wait()
        except TimeoutError:
            connection.scope.cancel()
            raise ProviderError(self.settings.provider, "timeout") from None
        except BaseException:
            connection.scope.cancel()
            raise
        if connection.failure is not None:
            raise connection.failure()
        return connection


@define(eq=False)
class SharedWebSocket:
    """One connection for all requests of a service. It opens with the first one, and again after it was lost."""

    _service: _Service
    _address: Address
    _route: Callable[[Any], object]
    _connection: Connection | None = None
    _lock: anyio.Lock = field(factory=anyio.Lock)

    @asynccontextmanager
    async def open(self, context: object, *, goodbye: Outgoing | None = None) -> AsyncGenerator[WebSocketStream]:
        """Yield the stream of one context: the messages for which `route` returns `context`.

        `goodbye` is sent if you leave before you call `finish`, such as when the user interrupts. Raises
        `ProviderError` if the vendor cannot be reached.
        """
        connection = await self._connected()
        inbox = self._service.inbox(connection, context, ends_with_connection=False)
        try:
            yield WebSocketStream(connection, inbox, self._service.tasks)
        finally:
            del connection.inboxes[context]
            _leave(connection, inbox, goodbye)

    async def connect(self) -> None:
        """Open the connection now, so that the first request is faster."""
        await self._connected()

    async def _connected(self) -> Connection:
        async with self._lock:
            if self._connection is None or not self._connection.usable:
                self._connection = await self._service.dial(self._address, self._route)
            return self._connection


@define(eq=False)
class VendorWebSockets:
    """Opens the WebSockets of one service. Every failure is a `ProviderError`. Get one from `connect_websockets`."""

    _service: _Service

    @asynccontextmanager
    async def open(
        self,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        goodbye: Outgoing | None = None,
        keep_alive: Outgoing | None = None,
        keep_alive_every: float = 5.0,
    ) -> AsyncGenerator[WebSocketStream]:
        """Yield a new connection for one request. Leaving the block closes it, and does not wait for that.

        - `path`: relative to the base URL.
        - `goodbye`: the last message, if you leave before the vendor closes and before you call `finish`.
        - `keep_alive`: a message for vendors that close an idle connection. It is sent when nothing else was sent for
          `keep_alive_every` seconds.
        """
        address = Address(path, params or {}, headers or {}, keep_alive, keep_alive_every)
        connection = await self._service.dial(address)
        inbox = connection.inboxes[None]
        try:
            yield WebSocketStream(connection, inbox, self._service.tasks)
        finally:
            _leave(connection, inbox, goodbye)
            connection.close()

    def share(
        self,
        path: str,
        *,
        route: Callable[[Any], object],
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        keep_alive: Outgoing | None = None,
        keep_alive_every: float = 5.0,
    ) -> SharedWebSocket:
        """Return a connection for many requests. `route` returns the context of a message, or None for all contexts."""
        address = Address(path, params or {}, headers or {}, keep_alive, keep_alive_every)
        return SharedWebSocket(self._service, address, route)


def _leave(connection: Connection, inbox: Inbox, goodbye: Outgoing | None) -> None:
    if goodbye is not None and not (inbox.finished or inbox.over):
        connection.post(goodbye)


def _by_close(code: int, reason: str) -> ProviderCategory | None:
    return category_of_close(code)


@asynccontextmanager
async def connect_websockets(
    provider: str,
    api_key: Secret | None,
    *,
    base_url: str,
    key_header: str = "Authorization",
    key_scheme: str = "Bearer",
    timeout: float = 10.0,
    ping_every: float = 20.0,
    retry: Retry | None = None,
    categorize: Callable[[int, str], ProviderCategory | None] = _by_close,
) -> AsyncGenerator[VendorWebSockets]:
    """Yield the WebSockets of a service. Open it in the function that `@service` decorates.

    - `base_url`: an http or https URL; https stands for wss.
    - `provider`, `api_key`, `key_header`, `key_scheme`: as in `connect_http`.
    - `timeout`: how long to wait for a connection, for each message, and for the answer to a ping, in seconds.
    - `ping_every`: after how many seconds to ping, so that a dead connection is noticed.
    - `retry`: when to repeat an attempt to connect. By default, `Retry()`.
    - `categorize`: returns the category of a close code and its reason, and None for a normal end. By default,
      `category_of_close`.

    Raises `ProviderError` and `ValueError` as `connect_http` does.
    """
    async with (
        open_client(provider, api_key, base_url, key_header, key_scheme, None) as client,
        anyio.create_task_group() as tasks,
    ):
        settings = Settings(provider, client, timeout, ping_every, categorize)
        service = _Service(settings, tasks, retry or Retry())
        try:
            yield VendorWebSockets(service)
        finally:
            with anyio.CancelScope(shield=True):
                await service.close()
            tasks.cancel_scope.cancel()
