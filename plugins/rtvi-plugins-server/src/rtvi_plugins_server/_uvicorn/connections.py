"""Limits for the connections of a server: how many there may be, and how long each may keep the server waiting.

A connection counts from the moment it is accepted until its socket is closed. One check a second looks at all of
them, so that none needs a timer of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Final

from attrs import field, frozen

from rtvi_plugins.security import LogThrottle

from .._addresses import Proxies, address_group

__all__ = ("ConnectionLimiter", "ConnectionLimits", "RequestRate", "TrackedConnection", "most_connections")

log = logging.getLogger("rtvi_plugins.server")

#: Of the descriptors of the process, this many and this share stay free for the services of sessions.
_FREE, _FREE_PART = 32, 4
#: How many seconds' worth of requests an address may send at once.
_BURST_SECONDS: Final = 2.0


def most_connections() -> float:
    """Return how many connections the process can hold while enough descriptors stay free."""
    try:
        import resource  # not on Windows
    except ImportError:
        return float("inf")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if most == resource.RLIM_INFINITY:
        return float("inf")
    return max(1, most - max(_FREE, most // _FREE_PART))


@frozen(kw_only=True)
class ConnectionLimits:
    """The limits of a server's connections. Times in seconds, sizes in bytes."""

    #: Connections at once. The process may have descriptors for fewer.
    connections: int = 2_000
    #: Connections at once from one address, and at most half of all. So many of its requests are handled in a second;
    #: more than that wait.
    connections_per_address: int = 100
    #: What may be buffered of incomplete messages: in total, and of one address. A connection with little is not
    #: counted.
    buffered_bytes_in_total: int = 134_217_728
    buffered_bytes_per_address: int = 8_388_608
    buffered_bytes: int = 65_536
    #: The proxies in front. Their connections belong to many clients and are not counted per address.
    proxies: Proxies = field(factory=Proxies)
    #: The head of a request or handshake. A line must be shorter than what the handshake parser accepts.
    head_bytes: int = 16_384
    line_bytes: int = 8_000
    head_lines: int = 100
    head_seconds: float = 10.0
    #: How long a request's body may take.
    body_seconds: float = 30.0
    #: How long a client may read nothing of what is sent to it.
    stalled_seconds: float = 20.0
    #: How long a closed socket may stay to send the rest.
    close_seconds: float = 5.0


class TrackedConnection:
    """One accepted connection, until its socket is closed."""

    __slots__ = (
        "_buffered",
        "_check",
        "_closing_since",
        "_limiter",
        "_stalled_since",
        "_unsent",
        "_written",
        "address",
        "transport",
    )

    def __init__(self, limiter: ConnectionLimiter, address: str | None) -> None:
        self.address = address
        self.transport: asyncio.Transport | None = None
        self._buffered = 0
        self._limiter = limiter
        self._check: Callable[[float], None] = _nothing
        self._closing_since: float | None = None
        self._stalled_since: float | None = None
        #: The size of the write buffer at the last check, and what was written since.
        self._unsent = self._written = 0

    @property
    def limits(self) -> ConnectionLimits:
        return self._limiter.limits

    def attach(self, transport: asyncio.Transport, check: Callable[[float], None]) -> None:
        """Have `check` called once a second with the loop's time, by the protocol that now holds the transport."""
        self.transport, self._check = transport, check

    def request_delay(self, now: float) -> float:
        """Count a request. Return for how many seconds it must wait, because its address sends very many."""
        return 0.0 if self.address is None else self._limiter.request_rate.delay(self.address, now)

    def may_buffer(self, size: int) -> bool:
        """Report how many bytes of incomplete messages are buffered. Return False if there are too many of them."""
        size = size if size > self.limits.buffered_bytes else 0
        if size == self._buffered:
            return True
        more, self._buffered = size - self._buffered, size
        return self._limiter.may_buffer(self.address, more) or not size

    def wrote(self, size: int) -> None:
        """Count bytes that were written to the transport, to see whether the client reads."""
        self._written += size

    def check(self, now: float) -> None:
        """Abort a connection that is stuck; otherwise let the protocol check its own deadlines."""
        transport = self.transport
        if transport is None:
            return
        limits = self.limits
        if transport.is_closing():
            self._closing_since = self._closing_since or now
            if now >= self._closing_since + limits.close_seconds:
                transport.abort()
            return
        unsent = transport.get_write_buffer_size()
        read_by_client, self._written = self._unsent + self._written - unsent, 0
        if unsent and read_by_client <= 0:
            self._stalled_since = self._stalled_since or now
            if now >= self._stalled_since + limits.stalled_seconds:
                self._limiter.stalled.warn("closed a connection: the client does not read")
                transport.abort()
        else:
            self._stalled_since = None
        self._unsent = unsent
        self._check(now)

    def closed(self) -> None:
        """The socket is closed; the connection no longer counts."""
        self.may_buffer(0)
        self._limiter.release(self)


def _nothing(now: float) -> None:
    pass


class ConnectionLimiter:
    """The connections of one server."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._most = min(limits.connections, most_connections())
        #: One address never gets so many that no other client can connect.
        self._most_per_address = min(limits.connections_per_address, max(1, self._most // 2))
        self.connections: set[TrackedConnection] = set()
        self._addresses: Counter[str] = Counter()
        self._buffered: Counter[str] = Counter()
        self._buffered_in_total = 0
        self.request_rate = RequestRate(limits.connections_per_address)
        self._full, self._crowded, self.stalled = LogThrottle(log), LogThrottle(log), LogThrottle(log)

    def __len__(self) -> int:
        return len(self.connections)

    def admit(self, peer: str) -> TrackedConnection | None:
        """Count an accepted connection. None when there are too many, in total or from its address."""
        if len(self.connections) >= self._most:
            self._full.warn("refused a connection: the server already has %d, its maximum", self._most)
            return None
        address = None if peer in self.limits.proxies else address_group(peer)
        if address is not None:
            if self._addresses[address] >= self._most_per_address:
                self._crowded.warn("refused a connection of %s, which has %d", address, self._addresses[address])
                return None
            self._addresses[address] += 1
        connection = TrackedConnection(self, address)
        self.connections.add(connection)
        return connection

    def release(self, connection: TrackedConnection) -> None:
        if connection in self.connections:
            self.connections.remove(connection)
            if connection.address is not None:
                self._addresses[connection.address] -= 1
                if not self._addresses[connection.address]:
                    del self._addresses[connection.address]

    def buffered(self, address: str) -> int:
        return self._buffered[address]

    def may_buffer(self, address: str | None, more: int) -> bool:
        """Count bytes that are buffered for an address. Return False if it has too many, or all clients have."""
        self._buffered_in_total += more
        fits = self._buffered_in_total <= self.limits.buffered_bytes_in_total
        if address is None:
            return fits
        self._buffered[address] += more
        if not self._buffered[address]:
            del self._buffered[address]
        return fits and self._buffered[address] <= self.limits.buffered_bytes_per_address

    def check(self, now: float) -> None:
        """Check every connection; call it about once a second with the loop's time."""
        self.request_rate.forget(now)
        for connection in list(self.connections):
            connection.check(now)


class RequestRate:
    """A limit for the requests of each address in a second."""

    def __init__(self, per_second: float) -> None:
        self._interval = 1 / per_second
        #: When the next request of an address is due, if its requests were spread evenly.
        self._due: dict[str, float] = {}

    def delay(self, address: str, now: float) -> float:
        """Count a request. Return for how many seconds it must wait."""
        due = max(self._due.get(address, 0.0), now - _BURST_SECONDS)
        self._due[address] = due + self._interval
        return max(0.0, due - now)

    def forget(self, now: float) -> None:
        """Forget the addresses that have not sent requests for a while."""
        self._due = {address: due for address, due in self._due.items() if due > now - _BURST_SECONDS}
