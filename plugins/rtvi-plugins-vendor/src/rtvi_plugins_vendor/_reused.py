"""WebSockets that serve one request at a time: a connection that has answered is used again."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

from attrs import define, field

from ._connection import Address, Connection, Outgoing
from ._inbox import Inbox

__all__ = ("Pool",)

#: The context of messages that are left over from a request that was left early.
_LEFT_OVER = object()


class _Dial(Protocol):
    def __call__(self, address: Address, route: Callable[[Any], object], /) -> Awaitable[Connection]: ...


@define(eq=False)
class _Lease:
    """One connection. `turn` is the request that it serves now."""

    address: Address
    is_settled: Callable[[Any], bool]
    connection: Connection | None = None
    turn: object = None
    #: How many requests were left early without a confirmation of the vendor that it has stopped.
    waits: int = 0

    def route(self, message: Any) -> object:
        """Return the request of a message."""
        if not self.waits:
            return self.turn
        self.waits -= self.is_settled(message)
        return _LEFT_OVER

    @property
    def usable(self) -> bool:
        return self.connection is not None and self.connection.usable


@define(eq=False)
class Pool:
    """The connections of one service to one address at a time."""

    dial: _Dial
    inbox: Callable[[Connection, object], Inbox]
    is_settled: Callable[[Any], bool]
    _idle: list[_Lease] = field(factory=list[_Lease])

    @asynccontextmanager
    async def take(self, address: Address, goodbye: Outgoing | None) -> AsyncGenerator[tuple[Connection, Inbox]]:
        """Yield a connection that nobody else uses, with the inbox of this request."""
        self._drop_other(address)
        if self._idle:
            lease = self._idle.pop()
        else:
            lease = _Lease(address, self.is_settled)
            lease.connection = await self.dial(address, lease.route)
            if address.hello is not None:
                lease.connection.post(address.hello)
        assert lease.connection is not None
        lease.turn = object()
        inbox = self.inbox(lease.connection, lease.turn)
        try:
            yield lease.connection, inbox
        except Exception:  # the connection may be of no use any more
            lease.connection.close()
            raise
        finally:
            del lease.connection.inboxes[lease.turn]
            self._leave(lease, inbox, goodbye)

    def _leave(self, lease: _Lease, inbox: Inbox, goodbye: Outgoing | None) -> None:
        assert lease.connection is not None
        if goodbye is None and not inbox.finished:
            lease.connection.close()
        elif goodbye is not None and not inbox.finished:
            # The next request need not wait for the confirmation: it comes before the answer.
            lease.waits += 1
            lease.connection.post(goodbye)
        if lease.usable:
            self._idle.append(lease)

    def _drop_other(self, address: Address) -> None:
        """Close idle connections to a former address, and forget those that have ended."""
        for lease in [*self._idle]:
            if lease.address != address and lease.connection is not None:
                lease.connection.close()
            if not lease.usable:
                self._idle.remove(lease)
