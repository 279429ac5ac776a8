"""The connections of a server: how many there may be, and what each may keep waiting.

A connection counts from the moment it is accepted until its socket is closed, whatever its client does or leaves
undone. Once a second each is looked at: nothing here needs a timer for each of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from attrs import field, frozen

from ._seldom import Seldom

__all__ = ("Bounds", "Door", "Proxies", "Visit", "client_of", "proxies_of")

log = logging.getLogger("rtvi_plugins.server")

#: What stays free of the descriptors that the process may have, for the services of sessions: at least, and a part.
_FREE, _FREE_PART = 32, 4
#: Every address there is.
EVERYWHERE: Final = ("0.0.0.0/0", "::/0")
#: The network that one subscriber gets of IPv6.
_SUBSCRIBER: Final = 64


def _descriptors() -> float:
    """How many connections the process can hold and have descriptors left."""
    try:
        import resource  # not on Windows
    except ImportError:
        return float("inf")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if most == resource.RLIM_INFINITY:
        return float("inf")
    return max(1, most - max(_FREE, most // _FREE_PART))


class Proxies:
    """The addresses of the proxies in front of the server. `ValueError` for one that is no address or network."""

    def __init__(self, written: Iterable[str] = ()) -> None:
        self._networks = [ip_network(each, strict=False) for each in written]

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in each for each in self._networks)


def proxies_of(written: Iterable[str], public_url: str | None) -> Proxies:
    """Return the proxies in front of a server. One that has a public URL and names none may have any."""
    return Proxies(list(written) or (EVERYWHERE if public_url is not None else ()))


def client_of(peer: str, forwarded: Iterable[str], proxies: Proxies) -> str | None:
    """Return the address of a client: the peer's, or what the proxies in front of the server say of it.

    `forwarded` are the values of `X-Forwarded-For`. They are believed as far as they come from proxies of ours, from
    the last to the first. None when a proxy of ours does not say.
    """
    if peer not in proxies:
        return group_of(peer)
    for entry in reversed([_without_port(part.strip()) for value in forwarded for part in value.split(",")]):
        if entry not in proxies:
            return group_of(entry)
    return None


def _without_port(entry: str) -> str:
    """Return an address as some proxies write it, with the client's port, without it."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry


def group_of(address: str) -> str | None:
    """Return what is counted as one address: an IPv4 address, or the network of an IPv6 one. None for no address."""
    try:
        found = ip_address(address)
    except ValueError:
        return None
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ip_network((found, _SUBSCRIBER), strict=False))


@frozen(kw_only=True)
class Bounds:
    """What the connections of a server may use. Times in seconds."""

    #: Connections at once: of all clients (and no more than the process has descriptors for), and of one address (and
    #: no more than half of all).
    connections: int = 2_000
    connections_per_address: int = 100
    #: The proxies in front, whose connections are those of many clients.
    proxies: Proxies = field(factory=Proxies)
    #: The head of a request or a handshake: its bytes, those of each line (fewer than the parser of handshakes takes),
    #: its lines, and how long it may take.
    head_bytes: int = 16_384
    line_bytes: int = 8_000
    head_lines: int = 100
    head_seconds: float = 10.0
    #: How long a body may take to come.
    body_seconds: float = 30.0
    #: How long a client may take nothing of what is sent to it.
    stalled_seconds: float = 20.0
    #: How long a socket may stay after it was closed, for what is left to be sent.
    close_seconds: float = 5.0


class Visit:
    """One connection, from its accepting to its end."""

    __slots__ = ("_closing", "_door", "_stalled", "_tick", "_unsent", "_written", "address", "transport")

    def __init__(self, door: Door, address: str | None) -> None:
        self.address = address
        self.transport: asyncio.Transport | None = None
        self._door = door
        self._tick: Callable[[float], None] = _nothing
        self._closing: float | None = None
        self._stalled: float | None = None
        #: What waited to be sent at the last look, and what was written since.
        self._unsent = self._written = 0

    @property
    def bounds(self) -> Bounds:
        """What a connection may use."""
        return self._door.bounds

    def begin(self, transport: asyncio.Transport, tick: Callable[[float], None]) -> None:
        """Have `tick` called with the time, once a second, by the protocol that holds the transport now."""
        self.transport, self._tick = transport, tick

    def wrote(self, size: int) -> None:
        """Count bytes that were written to the transport: a client that takes as many takes something."""
        self._written += size

    def look(self, now: float) -> None:
        """Abort what is stuck, and let the protocol look after its own deadlines."""
        transport = self.transport
        if transport is None:
            return
        bounds = self.bounds
        if transport.is_closing():
            self._closing = self._closing or now
            if now >= self._closing + bounds.close_seconds:
                transport.abort()
            return
        unsent = transport.get_write_buffer_size()
        taken, self._written = self._unsent + self._written - unsent, 0
        if unsent and taken <= 0:
            self._stalled = self._stalled or now
            if now >= self._stalled + bounds.stalled_seconds:
                transport.abort()
        else:
            self._stalled = None
        self._unsent = unsent
        self._tick(now)

    def end(self) -> None:
        """The socket is closed: the connection counts no more."""
        self._door.leave(self)


def _nothing(now: float) -> None:
    pass


class Door:
    """The connections of one server."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._most = min(bounds.connections, _descriptors())
        #: Of one address: never so many that nobody else is let in.
        self._most_of_one = min(bounds.connections_per_address, max(1, self._most // 2))
        self.visits: set[Visit] = set()
        self._addresses: Counter[str] = Counter()
        self._full, self._crowded = Seldom(log), Seldom(log)

    def __len__(self) -> int:
        return len(self.visits)

    def enter(self, peer: str) -> Visit | None:
        """Count a connection that was accepted. None when there are too many, in all or from its address."""
        if len(self.visits) >= self._most:
            self._full.warn("refused a connection: there are %d, which is all that the server takes", self._most)
            return None
        address = None if peer in self.bounds.proxies else group_of(peer)
        if address is not None:
            if self._addresses[address] >= self._most_of_one:
                self._crowded.warn("refused a connection of %s, which has %d", address, self._addresses[address])
                return None
            self._addresses[address] += 1
        visit = Visit(self, address)
        self.visits.add(visit)
        return visit

    def leave(self, visit: Visit) -> None:
        """Count a connection no more."""
        if visit in self.visits:
            self.visits.remove(visit)
            if visit.address is not None:
                self._addresses[visit.address] -= 1
                if not self._addresses[visit.address]:
                    del self._addresses[visit.address]

    def look(self, now: float) -> None:
        """Look at every connection; call it about once a second with the loop's time."""
        for visit in list(self.visits):
            visit.look(now)
