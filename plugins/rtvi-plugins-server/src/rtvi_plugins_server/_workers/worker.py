"""A worker: it serves the connections that the front hands over, under paths that begin with its number."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from starlette.applications import Starlette
from starlette.types import Message, Receive, Scope, Send

from rtvi_plugins.hosting import Host

from .._uvicorn.acceptor import MakeProtocol, admit
from .._uvicorn.connections import ConnectionLimiter
from ..workers import PLACE, Workers
from .control import LONGEST, NUMBER, Place, Report, prefix_of, read_keys

__all__ = ("HandedOver", "WorkerApp")

#: How often a worker reports, in seconds.
_EVERY: Final = 0.1
#: How many connections may be taken at once.
_MOST: Final = 32


class WorkerApp:
    """An app whose paths begin with the worker's number. A path without it is the same, for a first request.

    Each connection carries one request: the next one may be for another worker.
    """

    def __init__(self, app: Starlette, key: int, public_url: str | None) -> None:
        self._app = app
        self._key = key
        self._prefix = prefix_of(key)
        #: The numbers of all workers, as the front has sent them last.
        self.keys: tuple[int, ...] = (key,)
        if public_url is not None:
            app.state.public_url = public_url.rstrip("/") + self._prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        # A path of another worker comes when that one has ended: its sessions are unknown here, as they should be.
        named = NUMBER.match(scope["path"])
        path = self._prefix + NUMBER.sub("", scope["path"], count=1)
        place = Workers(self._key, self.keys, None if named is None else int(named[0][2:]))
        within = {**scope, "path": path, "root_path": self._prefix, PLACE: place}
        await self._app(within, receive, _closing(send) if scope["type"] == "http" else send)


def _closing(send: Send) -> Send:
    async def closing(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
        await send(message)

    return closing


class HandedOver:
    """Takes connections from the front, and reports to it. uvicorn treats it as one of its servers."""

    def __init__(
        self,
        place: Place,
        host: Host,
        announcement: str,
        app: WorkerApp,
        front_is_gone: Callable[[], None],
        limiter: ConnectionLimiter,
        make_protocol: MakeProtocol,
    ) -> None:
        self._control = place.control
        self._control.setblocking(False)
        self._host = host
        self._announcement = announcement
        self._app = app
        self._front_is_gone = front_is_gone
        self._limiter = limiter
        self._make_protocol = make_protocol
        self._loop = asyncio.get_running_loop()
        self._admitting: set[asyncio.Task[None]] = set()
        #: How many connections were handed over, and are served or closed by now.
        self._taken = 0
        self._loop.add_reader(self._control, self._take)
        self._reporting = self._loop.create_task(self._report())

    def close(self) -> None:
        self._loop.remove_reader(self._control)
        self._reporting.cancel()

    async def wait_closed(self) -> None:
        await asyncio.wait([self._reporting, *self._admitting])

    def _take(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, LONGEST, _MOST)
        except OSError:
            data, descriptors = b"", []
        if data:
            self._app.keys = read_keys(data)
        for each in descriptors:
            accepted = socket.socket(fileno=each)
            accepted.setblocking(False)
            task = self._loop.create_task(self._admit(accepted))
            self._admitting.add(task)
            task.add_done_callback(self._admitted)
        if not data:
            self._loop.remove_reader(self._control)
            self._front_is_gone()

    def _admitted(self, task: asyncio.Task[None]) -> None:
        self._admitting.discard(task)
        self._taken += 1

    async def _admit(self, accepted: socket.socket) -> None:
        try:
            peer = accepted.getpeername()
        except OSError:  # the client has already disconnected
            accepted.close()
            return
        await admit(self._limiter, self._make_protocol, accepted, str(peer[0]) if peer else "")

    async def _report(self) -> None:
        while True:
            host = self._host
            accepts, connections = host.refusal is None, len(self._limiter)
            report = Report(host.open_sessions, accepts, self._announcement, connections, self._taken)
            self._announcement = ""
            with suppress(OSError):  # the front is gone, or does not read; it gets the next one
                self._control.send(report.to_bytes())
            await asyncio.sleep(_EVERY)
