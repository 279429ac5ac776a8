"""Accept connections one at a time, without Nagle's delay, and only as many as the limits allow."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeAlias

from rtvi_plugins.errors import ServerFull

from .._refusals import refusal
from .connections import ConnectionLimiter, TrackedConnection

__all__ = ("Acceptor", "MakeProtocol", "admit")

log = logging.getLogger("rtvi_plugins.server")

#: Makes the protocol of a connection.
MakeProtocol: TypeAlias = Callable[[TrackedConnection], asyncio.BaseProtocol]

#: Errors that mean that the process or the machine has no resources left for a connection.
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_RETRY_SECONDS: Final = 1.0

#: The response to a connection over the limit, sent before its request is read.
_FULL: Final = refusal(
    ServerFull("The server has too many connections, in total or from this address; try again later.")
)


class Acceptor:
    """Accepts the connections of a listening socket. uvicorn treats it as one of its servers.

    asyncio and uvloop accept as many connections at once as the backlog holds, and log every failure: thousands a
    second when the process has no descriptors left.
    """

    def __init__(
        self,
        listener: socket.socket,
        limiter: ConnectionLimiter,
        make_protocol: MakeProtocol,
    ) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._limiter = limiter
        self._make_protocol = make_protocol
        self._task = asyncio.get_running_loop().create_task(self._run())

    def close(self) -> None:
        self._task.cancel()

    async def wait_closed(self) -> None:
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
                else:  # the client has already disconnected
                    await asyncio.sleep(0)
                continue
            if exhausted:
                log.warning("connections are accepted again")
                exhausted = False
            await admit(self._limiter, self._make_protocol, accepted, str(address[0]) if address else "")


async def admit(limiter: ConnectionLimiter, make_protocol: MakeProtocol, accepted: socket.socket, peer: str) -> None:
    """Serve a connection from the address `peer`, or refuse it if that is one too many."""
    connection = limiter.admit(peer)
    if connection is None:
        _refuse(accepted)
        await asyncio.sleep(0)  # let existing connections continue when very many new ones come
        return
    try:
        if accepted.family in (socket.AF_INET, socket.AF_INET6):
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().connect_accepted_socket(lambda: make_protocol(connection), accepted)
    except OSError:
        accepted.close()
        connection.closed()


def _refuse(accepted: socket.socket) -> None:
    with suppress(OSError):
        accepted.setblocking(False)
        accepted.send(_FULL)
        accepted.shutdown(socket.SHUT_WR)
    accepted.close()
