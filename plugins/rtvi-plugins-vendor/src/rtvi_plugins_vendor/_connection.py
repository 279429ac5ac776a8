"""One WebSocket connection: its task opens it, and reads and writes until it ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

import anyio
import httpx2
import orjson
from attrs import define, field, frozen

from rtvi_plugins.errors import ProviderCategory, ProviderError, report

from ._inbox import Failure, Inbox
from ._session import CLOSING_SECONDS, Closed, Lost, Message, Refused, Session, open_session
from .failures import StatusError, category_of_status, retry_after

__all__ = ("CLOSING_SECONDS", "Address", "Connection", "Outgoing", "Settings", "by_field")

#: A message to a vendor: bytes, text, or a value that is sent as JSON text.
Outgoing: TypeAlias = "bytes | str | Mapping[str, Any]"

#: How many bytes may wait to be written before `sending` waits for that.
_MANY_BYTES = 16 * 1024


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
    #: The first message.
    hello: Outgoing | None = None


@define(eq=False)
class Batch:
    """Messages that wait, and are written together."""

    messages: list[Message] = field(factory=list[Message])
    size: int = 0
    _done: anyio.Event | None = None
    _is_over: bool = False
    _is_written: bool = False

    @property
    def is_large(self) -> bool:
        """Whether so much waits that a sender must wait until it is written."""
        return self.size > _MANY_BYTES

    async def wait(self) -> bool:
        """Wait until the batch was written or dropped. Return whether it was written."""
        if not self._is_over:
            self._done = self._done or anyio.Event()
            await self._done.wait()
        return self._is_written

    def end(self, *, written: bool = False) -> None:
        """Note that the batch was written, or that it never will be. Only the first call counts."""
        if not self._is_over:
            self._is_over, self._is_written = True, written
            if self._done is not None:
                self._done.set()


#: That of a message that was written at once.
_WRITTEN = Batch()
_WRITTEN.end(written=True)


def _encoded(message: Outgoing) -> Message:
    if isinstance(message, bytes):
        return message, False
    return (message.encode() if isinstance(message, str) else orjson.dumps(message)), True


@define(eq=False)
class Connection:
    """One connection, owned by the task that runs `run`."""

    settings: Settings
    #: Returns the context of a message. None: the connection has one stream.
    route: Callable[[Any], object] | None
    inboxes: dict[object, Inbox] = field(factory=dict[object, Inbox])
    #: Whether the connection was opened, or failed.
    settled: anyio.Event = field(factory=anyio.Event)
    #: Whether it was opened. It may have ended since.
    opened: bool = False
    gone: anyio.Event = field(factory=anyio.Event)
    failure: Failure | None = None
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)
    #: What can write at once.
    _session: Session | None = None
    _waiting: Batch = field(factory=Batch)
    _news: anyio.Event = field(factory=anyio.Event)
    _closing: bool = False
    #: What ends the sleep of `_watch`.
    _look: anyio.CancelScope = field(factory=anyio.CancelScope)
    _last_written: float = -math.inf

    @property
    def usable(self) -> bool:
        """Whether new requests can use it."""
        return not (self.gone.is_set() or self._closing)

    def post(self, message: Outgoing) -> Batch | None:
        """Write a message, or queue it for the task, which writes it even if the caller is cancelled.

        None if the connection has ended.
        """
        if not self.usable:
            return None
        batch, (data, is_text) = self._waiting, _encoded(message)
        if not batch.messages and self._session is not None and self._session.put_now(data, is_text=is_text):
            self._last_written = anyio.current_time()
            return _WRITTEN
        batch.messages.append((data, is_text))
        batch.size += len(data)
        self._news.set()
        return batch

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
        except* Refused as refused:
            response = _first(refused).response
            status, wait = response.status_code, retry_after(response.headers)
            self._fail(
                lambda: StatusError(self.settings.provider, category_of_status(status), status, retry_after=wait)
            )
        except* httpx2.InvalidURL:  # as `transport_failures` has it
            self._fail_as("bad-request")
        except* (Lost, httpx2.HTTPError, orjson.JSONDecodeError):
            self._fail_as("unavailable")
        except* Exception as failed:
            report(f"{self.settings.provider}: `route` or `categorize`", _first(failed))
            self._fail_as("unavailable")
        finally:
            self._end()

    async def _talk(self, address: Address) -> None:
        async with open_session(self.settings.client, address.path, address.params, address.headers) as session:
            self.opened, self._session = True, session
            self.settled.set()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._read, session)
                tasks.start_soon(self._ping, session)
                tasks.start_soon(self._watch)
                if address.keep_alive is not None:
                    tasks.start_soon(self._keep_alive, address.keep_alive, address.keep_alive_every)
                await self._write(session)
                tasks.cancel_scope.cancel()

    async def _read(self, session: Session) -> None:
        def deliver(messages: list[Message]) -> None:
            for data, is_text in messages:
                self._deliver(orjson.loads(data) if is_text else data, len(data))
            if session.has_output:
                self._news.set()

        try:
            await session.receive(deliver)
        except Closed as closed:
            self._closing = True
            # This side also ends a connection, after a malformed or too long message.
            category = self.settings.categorize(closed.code, closed.reason) if closed.by_vendor else "unavailable"
            self._fail_as(category)
            self.scope.cancel()

    def _deliver(self, message: Any, size: int) -> None:
        context = None if self.route is None else self.route(message)
        if context is None:
            inboxes = [*self.inboxes.values()]
        else:
            inboxes = [self.inboxes[context]] if context in self.inboxes else []  # else its stream has ended
        for inbox in inboxes:
            inbox.put(message, size)

    async def _write(self, session: Session) -> None:
        while True:
            if (batch := self._waiting).messages or session.has_output:
                self._waiting = Batch()
                await self._write_batch(session, batch)
                if batch.messages:
                    self._last_written = anyio.current_time()
            elif self._closing:
                return
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
            with anyio.CancelScope(deadline=min(deadlines)) as self._look:
                await anyio.sleep_forever()

    def look_by(self, deadline: float) -> None:
        """Look at this time for waits that take too long, or before."""
        if deadline < self._look.deadline:
            self._look.deadline = deadline

    async def _keep_alive(self, message: Outgoing, every: float) -> None:
        """Send a message whenever nothing else was sent for a while."""
        self._last_written = anyio.current_time()
        while True:
            await anyio.sleep_until(self._last_written + every)
            if anyio.current_time() >= self._last_written + every:
                if (batch := self.post(message)) is None:
                    return
                await batch.wait()

    async def _ping(self, session: Session) -> None:
        """Ping, so that a dead connection is noticed."""
        while True:
            await anyio.sleep(self.settings.ping_every)
            if (pong := session.ping()) is None:
                return
            self._news.set()
            with anyio.move_on_after(self.settings.timeout) as patience:
                await pong.wait()
            if patience.cancelled_caught:
                raise Lost

    async def _write_batch(self, session: Session, batch: Batch) -> None:
        try:
            for data, is_text in batch.messages:
                session.put(data, is_text=is_text)
            await session.flush()
            batch.end(written=True)
        except Lost:
            # The reader knows why the connection ended.
            await anyio.sleep(self.settings.timeout)
            raise
        finally:
            batch.end()

    def _fail_as(self, category: ProviderCategory | None) -> None:
        if category is not None:
            self._fail(lambda: ProviderError(self.settings.provider, category))

    def _fail(self, failure: Failure) -> None:
        # The vendor's own reason is better than the failure of the transport that follows it.
        self.failure = self.failure or failure

    def _end(self) -> None:
        self.settled.set()
        self.gone.set()
        self._waiting.end()
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
