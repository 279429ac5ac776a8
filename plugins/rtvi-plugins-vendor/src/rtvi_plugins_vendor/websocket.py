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

import logging
import math
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, cast

import anyio
import httpx2
import orjson
import wsproto.events
from anyio.abc import TaskGroup
from attrs import define, field, frozen
from httpx2.websockets import (
    AsyncWebSocketClient,
    AsyncWebSocketSession,
    HTTPXWSException,
    WebSocketDisconnect,
    WebSocketUpgradeError,
)
from wsproto.connection import ConnectionState
from wsproto.utilities import ProtocolError

from rtvi_plugins.errors import ProviderCategory, ProviderError
from rtvi_plugins.session import Secret

from .failures import StatusError, category_of_close, category_of_status, retry_after
from .http import Retry, open_client

__all__ = ("SharedWebSocket", "VendorWebSockets", "WebSocketStream", "connect_websockets")

log = logging.getLogger(__name__)

#: A message to a vendor: bytes, text, or a value that is sent as JSON text.
Outgoing: TypeAlias = "bytes | str | Mapping[str, Any]"
Failure: TypeAlias = "Callable[[], Exception]"

#: How long the last messages of a connection, and its close frame, may take, in seconds.
_CLOSING_SECONDS = 1.0
_LONGEST_MESSAGE = 4 * 1024 * 1024
#: The most bytes that may wait until a stream is read. About 20 minutes of audio at 24 kHz in base64.
_LONGEST_INBOX = 64 * 1024 * 1024


class _Session(AsyncWebSocketSession):
    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        # It is called under a shield, and a vendor that no longer reads would block it.
        with anyio.move_on_after(_CLOSING_SECONDS):
            await super().close(code, reason)


class _Closed(Exception):
    """The connection was closed. A category of None is a normal end."""

    def __init__(self, category: ProviderCategory | None) -> None:
        super().__init__()
        self.category = category


@frozen
class _Address:
    """What a connection is opened with."""

    path: str
    params: Mapping[str, Any]
    headers: Mapping[str, str]
    keep_alive: Outgoing | None
    keep_alive_every: float


@define(eq=False)
class _Letter:
    """A message that waits to be written."""

    event: wsproto.events.Event
    done: anyio.Event = field(factory=anyio.Event)
    written: bool = False


def _letter(message: Outgoing) -> _Letter:
    if isinstance(message, bytes):
        return _Letter(wsproto.events.BytesMessage(data=message))
    text = message if isinstance(message, str) else orjson.dumps(message).decode()
    return _Letter(wsproto.events.TextMessage(data=text))


# ---- the connection --------------------------------------------------------------------------------------------------


@define(eq=False)
class _Connection:
    """One connection, owned by the task that runs `run`."""

    service: _Service
    #: Returns the context of a message. None: the connection has one stream.
    route: Callable[[Any], object] | None
    inboxes: dict[object, _Inbox] = field(factory=dict[object, "_Inbox"])
    #: Whether the connection was opened, or failed.
    settled: anyio.Event = field(factory=anyio.Event)
    gone: anyio.Event = field(factory=anyio.Event)
    failure: Failure | None = None
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)
    _letters: deque[_Letter] = field(factory=deque[_Letter])
    _news: anyio.Event = field(factory=anyio.Event)
    _closing: bool = False

    @property
    def usable(self) -> bool:
        """Whether new requests can use it."""
        return not (self.gone.is_set() or self._closing)

    def post(self, message: Outgoing) -> _Letter:
        """Queue a message. The task writes it, even if the caller is cancelled."""
        letter = _letter(message)
        if self.usable:
            self._letters.append(letter)
            self._news.set()
        else:
            letter.done.set()
        return letter

    def close(self) -> None:
        """Close the connection after the messages that wait."""
        if not self._closing:
            self._closing = True
            self.scope.deadline = anyio.current_time() + _CLOSING_SECONDS
            self._news.set()

    async def run(self, address: _Address) -> None:
        """Open the connection, and read and write until it ends."""
        try:
            with self.scope:
                await self._talk(address)
        except* WebSocketUpgradeError as refused:
            response = _first(refused).response
            status, wait = response.status_code, retry_after(response.headers)
            self._fail(lambda: StatusError(self.service.provider, category_of_status(status), status, retry_after=wait))
        except* _Closed as closed:
            self._fail_as(_first(closed).category)
        except* (HTTPXWSException, httpx2.HTTPError, ProtocolError, orjson.JSONDecodeError):
            self._fail_as("unavailable")
        except* Exception:
            log.exception("%s: `route` or `categorize` failed", self.service.provider)
            self._fail_as("unavailable")
        finally:
            self._end()

    async def _talk(self, address: _Address) -> None:
        client = AsyncWebSocketClient(
            self.service.client,
            max_message_size_bytes=_LONGEST_MESSAGE,
            keepalive_ping_interval_seconds=self.service.ping_every,
            keepalive_ping_timeout_seconds=self.service.timeout,
            session_class=_Session,
        )
        async with client.connect(address.path, params=address.params, headers=address.headers) as session:
            self.settled.set()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._read, session)
                await self._write(session, address)
                tasks.cancel_scope.cancel()

    async def _read(self, session: AsyncWebSocketSession) -> None:
        while True:
            event = await _receive(session)
            if isinstance(event, WebSocketDisconnect):
                self._closing = True
                # This side also ends a connection, after a malformed or too long message.
                by_vendor = session.connection.state is ConnectionState.REMOTE_CLOSING
                raise _Closed(self.service.categorize(event.code, event.reason) if by_vendor else "unavailable")
            data: Any = cast("wsproto.events.Message[Any]", event).data
            self._deliver(orjson.loads(data) if isinstance(data, str) else bytes(data), len(data))

    def _deliver(self, message: Any, size: int) -> None:
        context = None if self.route is None else self.route(message)
        if context is None:
            inboxes = [*self.inboxes.values()]
        else:
            inboxes = [self.inboxes[context]] if context in self.inboxes else []  # else its stream has ended
        for inbox in inboxes:
            inbox.put(message, size)

    async def _write(self, session: AsyncWebSocketSession, address: _Address) -> None:
        while self._letters or not self._closing:
            if self._letters:
                await self._write_one(session, self._letters.popleft())
                continue
            self._news = anyio.Event()
            wait = math.inf if address.keep_alive is None else address.keep_alive_every
            with anyio.move_on_after(wait) as idle:
                await self._news.wait()
            if idle.cancelled_caught and address.keep_alive is not None:
                await self._write_one(session, _letter(address.keep_alive))

    async def _write_one(self, session: AsyncWebSocketSession, letter: _Letter) -> None:
        try:
            await session.send(letter.event)
            letter.written = True
        except (HTTPXWSException, ProtocolError, httpx2.HTTPError):
            # The reader knows why the connection ended.
            await anyio.sleep(self.service.timeout)
            raise
        finally:
            letter.done.set()

    def _fail_as(self, category: ProviderCategory | None) -> None:
        if category is not None:
            self._fail(lambda: ProviderError(self.service.provider, category))

    def _fail(self, failure: Failure) -> None:
        # The vendor's own reason is better than the failure of the transport that follows it.
        self.failure = self.failure or failure

    def _end(self) -> None:
        self.settled.set()
        self.gone.set()
        for letter in self._letters:
            letter.done.set()
        self._letters.clear()
        for inbox in self.inboxes.values():
            inbox.end(self.failure)


async def _receive(session: AsyncWebSocketSession) -> wsproto.events.Event | WebSocketDisconnect:
    # As a value, it is no context of a later exception, whose traceback would show the vendor's reason.
    try:
        return await session.receive()
    except WebSocketDisconnect as closed:
        return closed


def _first(error: Any) -> Any:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[Any]", error).exceptions[0]
    return error


# ---- a stream --------------------------------------------------------------------------------------------------------


@define(eq=False)
class _Inbox:
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


@define(eq=False)
class WebSocketStream:
    """The messages of one request. Iterate over it to receive: JSON values, and bytes from binary messages.

    You may leave it anywhere. Iteration ends when the vendor closes the connection normally. It raises
    `ProviderError` if the connection breaks, or if the vendor sends nothing for the `timeout` of the service. The
    vendor may be silent while `sending` still has messages to send.
    """

    _connection: _Connection = field(repr=False)
    _inbox: _Inbox = field(repr=False)

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
        self._connection.service.tasks.start_soon(run)
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

    provider: str
    client: httpx2.AsyncClient = field(repr=False)
    tasks: TaskGroup
    timeout: float
    ping_every: float
    retry: Retry
    categorize: Callable[[int, str], ProviderCategory | None]
    _open: set[_Connection] = field(factory=set[_Connection])

    async def dial(self, address: _Address, route: Callable[[Any], object] | None = None) -> _Connection:
        """Return an open connection. It tries as often as `retry` allows."""
        attempt = 0
        while True:
            try:
                return await self._dial_once(address, route)
            except ProviderError as failed:
                asked = failed.retry_after if isinstance(failed, StatusError) else None
                wait = self.retry.wait(attempt, asked)
                if wait is None or not failed.retryable:
                    raise
            attempt += 1
            await anyio.sleep(wait)

    def inbox(self, connection: _Connection, context: object, *, ends_with_connection: bool) -> _Inbox:
        """Return the inbox of a new context."""
        inbox = _Inbox(self.provider, self.timeout, ends_with_connection)
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
        with anyio.move_on_after(_CLOSING_SECONDS):
            for connection in connections:
                await connection.gone.wait()

    async def _dial_once(self, address: _Address, route: Callable[[Any], object] | None) -> _Connection:
        connection = _Connection(self, route)
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
            with anyio.fail_after(self.timeout):
                await connection.settled.wait()
        except TimeoutError:
            connection.scope.cancel()
            raise ProviderError(self.provider, "timeout") from None
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
    _address: _Address
    _route: Callable[[Any], object]
    _connection: _Connection | None = None
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
            yield WebSocketStream(connection, inbox)
        finally:
            del connection.inboxes[context]
            _leave(connection, inbox, goodbye)

    async def connect(self) -> None:
        """Open the connection now, so that the first request is faster."""
        await self._connected()

    async def _connected(self) -> _Connection:
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
        address = _Address(path, params or {}, headers or {}, keep_alive, keep_alive_every)
        connection = await self._service.dial(address)
        inbox = connection.inboxes[None]
        try:
            yield WebSocketStream(connection, inbox)
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
        address = _Address(path, params or {}, headers or {}, keep_alive, keep_alive_every)
        return SharedWebSocket(self._service, address, route)


def _leave(connection: _Connection, inbox: _Inbox, goodbye: Outgoing | None) -> None:
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
        service = _Service(provider, client, tasks, timeout, ping_every, retry or Retry(), categorize)
        try:
            yield VendorWebSockets(service)
        finally:
            with anyio.CancelScope(shield=True):
                await service.close()
            tasks.cancel_scope.cancel()
