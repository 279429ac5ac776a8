"""A bad network between two peers of this machine: a relay of UDP packets that loses some and delays all, from a seed.

The only candidate that each peer is told of is a port of the relay, so that all that they send goes through it.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeAlias, cast

from aioice.ice import get_host_addresses
from attrs import define, field

__all__ = ("LOSS", "LossyPath", "Place", "lossy_path", "without_candidates")

#: Which share of the packets is lost, and how many seconds any other takes at most; so some overtake others.
LOSS = 0.05
JITTER_SECONDS = 0.1

Place: TypeAlias = tuple[str, int]

_CANDIDATE = re.compile(r"^a=candidate:\S+ 1 udp \d+ (?P<host>\S+) (?P<port>\d+) typ host.*$", re.MULTILINE)
_ANY_CANDIDATE = re.compile(r"^a=(candidate:.*|end-of-candidates)\r?\n", re.MULTILINE)


def host_address() -> str:
    """The address of this machine at which peers can meet: ICE leaves the loopback out."""
    found = get_host_addresses(use_ipv4=True, use_ipv6=False)
    assert found, "this machine has no IPv4 address but the loopback's, which WebRTC does not use"
    return found[0]


def without_candidates(sdp: str) -> str:
    """Return a description without candidates."""
    return _ANY_CANDIDATE.sub("", sdp)


@define(eq=False)
class _Side(asyncio.DatagramProtocol):
    """The port that one of the peers sends to. Packets from other places are dropped."""

    passed_on: Callable[[bytes], None]
    peer: Place | None = None
    transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Place) -> None:
        if addr == self.peer:
            self.passed_on(data)

    def send(self, data: bytes) -> None:
        """Send to the peer, if its address is known, and the path is open."""
        if self.peer is not None and self.transport is not None and not self.transport.is_closing():
            self.transport.sendto(data, self.peer)

    @property
    def place(self) -> Place:
        """The address of the port."""
        assert self.transport is not None
        found: Place = self.transport.get_extra_info("sockname")[:2]
        return found


@define(eq=False)
class LossyPath:
    """A path between a client and a server. It counts the packets."""

    random: random.Random
    host: str
    packets: int = 0
    lost: int = 0
    overtaken: int = 0
    _clientside: _Side = field(init=False)
    _serverside: _Side = field(init=False)
    _latest: dict[_Side, float] = field(factory=dict[_Side, float], init=False)

    async def open(self) -> None:
        """Open both ports."""
        loop = asyncio.get_running_loop()
        self._clientside = _Side(lambda data: self._pass(data, self._serverside))
        self._serverside = _Side(lambda data: self._pass(data, self._clientside))
        for side in (self._clientside, self._serverside):
            await loop.create_datagram_endpoint(partial(_same, side), local_addr=(self.host, 0))

    def cut(self) -> None:
        """From now on, drop all packets in both directions."""
        for side in (self._clientside, self._serverside):
            if side.transport is not None:
                side.transport.close()

    def _pass(self, data: bytes, to: _Side) -> None:
        self.packets += 1
        if self.random.random() < LOSS:
            self.lost += 1
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + self.random.uniform(0.0, JITTER_SECONDS)
        self.overtaken += due < self._latest.get(to, 0.0)
        self._latest[to] = max(due, self._latest.get(to, 0.0))
        loop.call_at(due, to.send, data)

    # ---- what the peers are told -----------------------------------------------------------------------------------

    def for_server(self, offer: str) -> str:
        """The candidate that the server gets in place of those in the client's offer."""
        self._clientside.peer = self._place_in(offer)
        host, port = self._serverside.place
        return f"candidate:1 1 udp 2130706431 {host} {port} typ host"

    def for_client(self, answer: str) -> str:
        """The server's answer as the client gets it."""
        self._serverside.peer = self._place_in(answer)
        host, port = self._clientside.place
        candidate = f"a=candidate:1 1 udp 2130706431 {host} {port} typ host\r\na=end-of-candidates\r\n"
        # Everything is bundled: what the first line of media says of the network holds for all.
        first, *others = without_candidates(answer).split("m=")
        return "m=".join([first, *(f"{each}{candidate}" for each in others)])

    def _place_in(self, sdp: str) -> Place:
        found = [(each["host"], int(each["port"])) for each in _CANDIDATE.finditer(sdp)]
        return next(each for each in found if each[0] == self.host)


@asynccontextmanager
async def lossy_path(seed: str) -> AsyncGenerator[LossyPath]:
    """A path that is open during the block."""
    path = LossyPath(random.Random(seed), host_address())
    await path.open()
    try:
        yield path
    finally:
        path.cut()


def _same(side: _Side) -> _Side:
    return side
