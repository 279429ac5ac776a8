"""Accept connections: one after the other, each without Nagle's delay, and none that the process has no room for."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from ._door import Door, Visit

__all__ = ("Acceptor",)

log = logging.getLogger("rtvi_plugins.server")

#: The process, or the machine, has nothing left to accept a connection with.
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_RETRY_SECONDS: Final = 1.0

_BODY: Final = (
    b'{"info":"The server holds as many connections as it can, in all or from this address.",'
    b'"detail":"The server holds as many connections as it can, in all or from this address.",'
    b'"error":"server-full","retryable":true,"details":[]}'
)
#: What a client is sent whose connection is not taken, without being asked what it wants.
_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 10\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)


class Acceptor:
    """Accepts the connections of a listening socket. To uvicorn it is one of its servers.

    The loops' own servers accept as many connections at once as the backlog holds, and log each that fails: thousands
    a second where the process has no descriptors left.
    """

    def __init__(self, listener: socket.socket, door: Door, make: Callable[[Visit], asyncio.BaseProtocol]) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._door = door
        self._make = make
        self._task = asyncio.get_running_loop().create_task(self._run())

    def close(self) -> None:
        """Accept nothing more."""
        self._task.cancel()

    async def wait_closed(self) -> None:
        """Wait until nothing more is accepted."""
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        loop, exhausted = asyncio.get_running_loop(), False
        while True:
            try:
                accepted, address = await loop.sock_accept(self._listener)
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    if not exhausted:
                        log.error("no connection can be accepted: %s; trying again every second", error.strerror)
                    exhausted = True
                    await asyncio.sleep(_RETRY_SECONDS)
                else:  # the client has gone again
                    await asyncio.sleep(0)
                continue
            if exhausted:
                log.warning("connections are accepted again")
                exhausted = False
            await self._take(loop, accepted, str(address[0]) if address else "")

    async def _take(self, loop: asyncio.AbstractEventLoop, accepted: socket.socket, peer: str) -> None:
        visit = self._door.enter(peer)
        if visit is None:
            _refuse(accepted)
            await asyncio.sleep(0)  # while more come than can be taken, what is there goes on
            return
        try:
            if accepted.family in (socket.AF_INET, socket.AF_INET6):
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.connect_accepted_socket(lambda: self._make(visit), accepted)
        except OSError:
            accepted.close()
            visit.end()


def _refuse(accepted: socket.socket) -> None:
    with suppress(OSError):
        accepted.setblocking(False)
        accepted.send(_FULL)
        accepted.shutdown(socket.SHUT_WR)
    accepted.close()
