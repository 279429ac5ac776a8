"""One WebSocket connection: its task opens it, and reads and writes until it ends."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

import anyio
import httpx2
import orjson
import wsproto.events
from attrs import define, field, frozen
from httpx2.websockets import AsyncWebSocketClient, HTTPXWSException, WebSocketUpgradeError
from wsproto.connection import ConnectionState
from wsproto.utilities import ProtocolError

from rtvi_plugins.errors import ProviderCategory, ProviderError

from ._inbox import Failure, Inbox
from ._session import CLOSING_SECONDS, Session
from .failures import StatusError, category_of_status, retry_after

__all__ = ("CLOSING_SECONDS", "Address", "Connection", "Outgoing", "Settings", "by_field")

log = logging.getLogger("rtvi_plugins_vendor.websocket")

#: A message to a vendor: bytes, text, or a value that is sent as JSON text.
Outgoing: TypeAlias = "bytes | str | Mapping[str, Any]"

_LONGEST_MESSAGE = 4 * 1024 * 1024


@frozen
class Settings:
    """What all connections of a service have in common."""

    provider: str
    client: httpx2.AsyncClient = field(repr=False)
    timeout: float
    ping_every: float
    categorize: Callable[[int, str], ProviderCategory | None]


@frozen
class Address:
    """What a connection is opened with."""

    path: str
    params: Mapping[str, Any]
    headers: Mapping[str, str]
    keep_alive: Outgoing | None
    keep_alive_every: float


class _Closed(Exception):
    """The connection was closed. A category of None is a normal end."""

    def __init__(self, category: ProviderCategory | None) -> None:
        super().__init__()
        self.category = category


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


@define(eq=False)
class Connection:
    """One connection, owned by the task that runs `run`."""

    settings: Settings
    #: Returns the context of a message. None: the connection has one stream.
    route: Callable[[Any], object] | None
    inboxes: dict[object, Inbox] = field(factory=dict[object, Inbox])
    #: Whether the connection was opened, or failed.
    settled: anyio.Event = field(factory=anyio.Event)
    gone: anyio.Event = field(factory=anyio.Event)
    failure: Failure | None = None
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)
    _letters: deque[_Letter] = field(factory=deque[_Letter])
    _news: anyio.Event = field(factory=anyio.Event)
    _closing: bool = False
    _last_written: float = -math.inf

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
            self.scope.deadline = anyio.current_time() + CLOSING_SECONDS
            self._news.set()

    async def run(self, address: Address) -> None:
        """Open the connection, and read and write until it ends."""
        try:
            with self.scope:
                await self._talk(address)
        except* WebSocketUpgradeError as refused:
            response = _first(refused).response
            status, wait = response.status_code, retry_after(response.headers)
            self._fail(
                lambda: StatusError(self.settings.provider, category_of_status(status), status, retry_after=wait)
            )
        except* _Closed as closed:
            self._fail_as(_first(closed).category)
        except* (HTTPXWSException, httpx2.HTTPError, ProtocolError, orjson.JSONDecodeError):
            self._fail_as("unavailable")
        except* Exception:
            log.exception("%s: `route` or `categorize` failed", self.settings.provider)
            self._fail_as("unavailable")
        finally:
            self._end()

    async def _talk(self, address: Address) -> None:
        client = AsyncWebSocketClient(
            self.settings.client,
            max_message_size_bytes=_LONGEST_MESSAGE,
            keepalive_ping_interval_seconds=self.settings.ping_every,
            keepalive_ping_timeout_seconds=self.settings.timeout,
            session_class=Session,
        )
        async with client.connect(address.path, params=address.params, headers=address.headers) as session:
            self.settled.set()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._read, session)
                tasks.start_soon(self._watch)
                if address.keep_alive is not None:
                    tasks.start_soon(self._keep_alive, address.keep_alive, address.keep_alive_every)
                await self._write(session)
                tasks.cancel_scope.cancel()

    async def _read(self, session: Session) -> None:
        while True:
            message = await session.next_message()
            if isinstance(message, wsproto.events.CloseConnection):
                self._closing = True
                # This side also ends a connection, after a malformed or too long message.
                by_vendor = session.connection.state is ConnectionState.REMOTE_CLOSING
                code, reason = message.code, message.reason or ""
                raise _Closed(self.settings.categorize(code, reason) if by_vendor else "unavailable")
            self._deliver(orjson.loads(message) if isinstance(message, str) else message, len(message))

    def _deliver(self, message: Any, size: int) -> None:
        context = None if self.route is None else self.route(message)
        if context is None:
            inboxes = [*self.inboxes.values()]
        else:
            inboxes = [self.inboxes[context]] if context in self.inboxes else []  # else its stream has ended
        for inbox in inboxes:
            inbox.put(message, size)

    async def _write(self, session: Session) -> None:
        while self._letters or not self._closing:
            if self._letters:
                await self._write_one(session, self._letters.popleft())
                self._last_written = anyio.current_time()
            else:
                self._news = anyio.Event()
                await self._news.wait()

    async def _watch(self) -> None:
        """End the waits that take too long. One that begins now is over after `timeout` at the earliest."""
        while True:
            now = anyio.current_time()
            deadlines = [now + self.settings.timeout]
            for inbox in self.inboxes.values():
                if inbox.deadline <= now:
                    inbox.give_up()
                else:
                    deadlines.append(inbox.deadline)
            await anyio.sleep_until(min(deadlines))

    async def _keep_alive(self, message: Outgoing, every: float) -> None:
        """Send a message whenever nothing else was sent for a while."""
        self._last_written = anyio.current_time()
        while True:
            await anyio.sleep_until(self._last_written + every)
            if anyio.current_time() >= self._last_written + every:
                await self.post(message).done.wait()

    async def _write_one(self, session: Session, letter: _Letter) -> None:
        try:
            await session.send(letter.event)
            letter.written = True
        except (HTTPXWSException, ProtocolError, httpx2.HTTPError):
            # The reader knows why the connection ended.
            await anyio.sleep(self.settings.timeout)
            raise
        finally:
            letter.done.set()

    def _fail_as(self, category: ProviderCategory | None) -> None:
        if category is not None:
            self._fail(lambda: ProviderError(self.settings.provider, category))

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


def _first(error: Any) -> Any:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[Any]", error).exceptions[0]
    return error


def by_field(name: str) -> Callable[[Any], object]:
    """Return a route by the field of this name. A message without it has no context."""

    def route(message: Any) -> object:
        match message:
            case {**fields} if isinstance(fields.get(name), str | int):
                return fields[name]
            case _:
                return None

    return route
