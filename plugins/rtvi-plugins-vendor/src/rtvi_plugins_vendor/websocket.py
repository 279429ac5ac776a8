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

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import TaskGroup
from attrs import define, evolve, field

from rtvi_plugins.errors import ProviderCategory, ProviderError
from rtvi_plugins.session import Secret

from ._connection import CLOSING_SECONDS, Address, Connection, Outgoing, Settings, by_field
from ._inbox import Inbox
from ._reused import Pool
from ._stream import WebSocketStream
from .failures import category_of_close
from .http import Retry, VendorHTTP, category_by_status, open_client

__all__ = ("ReusedWebSockets", "SharedWebSocket", "VendorWebSockets", "WebSocketStream", "connect_websockets")


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
        # One that was opened and has ended since may have messages, and the failure comes after them.
        if connection.failure is not None and not connection.opened:
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

        `goodbye` is sent if you leave before you call `finish`, such as when the user interrupts. Raise
        `ProviderError` if the vendor cannot be reached.
        """
        connection = await self._connected()
        inbox = self._service.inbox(connection, context, ends_with_connection=False)
        try:
            yield WebSocketStream(connection, inbox, self._service.tasks)
        finally:
            del connection.inboxes[context]
            _leave(connection, inbox, goodbye)
            if inbox.is_late and connection is self._connection:
                self._connection = None  # it may be dead, so the next request does not wait for it too
            self._close_former(connection)

    def move(self, path: str, *, params: Mapping[str, Any] | None = None) -> None:
        """Use another path and other parameters from the next request on. Nothing happens if they are the same.

        The connection to the former address closes when no request uses it.
        """
        address = evolve(self._address, path=path, params=params or {})
        if address != self._address:
            self._address, former, self._connection = address, self._connection, None
            if former is not None:
                self._close_former(former)

    async def connect(self) -> None:
        """Open the connection now, so that the first request is faster."""
        await self._connected()

    async def _connected(self) -> Connection:
        async with self._lock:
            if self._connection is None or not self._connection.usable:
                self._connection = await self._service.dial(self._address, self._route)
            return self._connection

    def _close_former(self, connection: Connection) -> None:
        if connection is not self._connection and not connection.inboxes:
            connection.close()


@define(eq=False)
class ReusedWebSockets:
    """Connections for a vendor whose messages do not name their request: each serves one request at a time.

    One that has answered is used again. So a session has one, unless requests overlap.
    """

    _service: _Service
    _pool: Pool

    @asynccontextmanager
    async def open(
        self,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        hello: Outgoing | None = None,
        goodbye: Outgoing | None = None,
    ) -> AsyncGenerator[WebSocketStream]:
        """Yield an idle connection, or a new one. Idle connections to another address are closed.

        `hello` is the first message of a new connection, such as its settings. Idle connections that began with another
        one are closed.

        If you leave before you call `finish`, `goodbye` is sent, and the connection is used again once the vendor has
        confirmed it. Without `goodbye` it is closed.
        """
        address = Address(path, params or {}, headers or {}, None, 0.0, hello)
        async with self._pool.take(address, goodbye) as (connection, inbox):
            yield WebSocketStream(connection, inbox, self._service.tasks)


def _never(message: Any) -> bool:
    return False


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
        route: str | Callable[[Any], object],
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        keep_alive: Outgoing | None = None,
        keep_alive_every: float = 5.0,
    ) -> SharedWebSocket:
        """Return a connection for many requests. The other parameters are those of `open`.

        `route` is the name of the field that says to which request a message belongs, or a function that returns this
        id. A message without an id (or with None) goes to all requests.
        """
        address = Address(path, params or {}, headers or {}, keep_alive, keep_alive_every)
        return SharedWebSocket(self._service, address, by_field(route) if isinstance(route, str) else route)

    async def check_key(
        self,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        categorize: Callable[[int, bytes], ProviderCategory] = category_by_status,
    ) -> None:
        """Get a path over HTTP, for `check_key` of a service. See `VendorHTTP.check_key`.

        `categorize` returns the category of a refusal from its status and body. A 401 that is not `auth` is ignored.
        """
        settings = self._service.settings
        http = VendorHTTP(settings.provider, settings.client, self._service.retry, categorize)
        await http.check_key(path, headers=headers)

    def reuse(self, *, is_settled: Callable[[Any], bool] = _never) -> ReusedWebSockets:
        """Return connections for one request at a time. `is_settled` says whether a message confirms `goodbye`."""
        service = self._service

        def inbox(connection: Connection, context: object) -> Inbox:
            return service.inbox(connection, context, ends_with_connection=False)

        return ReusedWebSockets(service, Pool(service.dial, inbox, is_settled))


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
    key_scheme: str | None = None,
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

    Raise `ProviderError` and `ValueError` as `connect_http` does.
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
