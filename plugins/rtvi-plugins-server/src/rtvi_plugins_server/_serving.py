"""Run the app on uvicorn, say when it listens, and let sessions finish when the process is asked to end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from time import monotonic
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from rtvi_plugins.errors import report
from rtvi_plugins.hosting import Host

from ._accepting import Acceptor
from ._door import Bounds, Door, Visit
from ._http import Guard, Reader, http_protocol
from ._websocket import WebSocket

__all__ = ("Server", "serve", "server_of")

log = logging.getLogger("rtvi_plugins.server")

# For answers that are being sent when the last session is over.
_LAST_SECONDS = 2
# For the services of sessions to close, and how often they are looked at meanwhile.
_ENDING_SECONDS, _ENDING_TICK = 15.0, 1.0
# uvicorn ticks ten times a second.
_TICKS = 10


def serve(
    app: ASGIApp,
    host: Host,
    listener: socket.socket,
    *,
    drain_seconds: float,
    ready: Callable[[], None],
    bounds: Bounds | None = None,
) -> None:
    """Serve until a signal ends it. `ready` is called once, when requests are taken."""
    server_of(app, host, drain_seconds=drain_seconds, ready=ready, bounds=bounds).run([listener])


def server_of(
    app: ASGIApp, host: Host, *, drain_seconds: float, ready: Callable[[], None], bounds: Bounds | None = None
) -> Server:
    """Return a server that `serve` would run."""
    config = uvicorn.Config(
        app,
        http=http_protocol(),
        ws=WebSocket,  # type: ignore[arg-type]  # it reads by a buffer of its own
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # whoever has a proxy says the public URL
        timeout_graceful_shutdown=_LAST_SECONDS,
    )
    return Server(config, host, Door(bounds or Bounds()), drain_seconds=drain_seconds, ready=ready)


class Server(uvicorn.Server):
    """A uvicorn server that drains: the first signal refuses new sessions, the second ends at once.

    Between them live sessions go on until they end by themselves or `drain_seconds` are over; then their sockets are
    closed with code 1012 (service restart).
    """

    def __init__(
        self, config: uvicorn.Config, host: Host, door: Door, *, drain_seconds: float, ready: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._host = host
        self.door = door
        self._drain_seconds = drain_seconds
        self._ready = ready
        self._deadline: float | None = None

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        with asyncio.Runner(loop_factory=self.config.get_loop_factory()) as runner:
            loop = runner.get_loop()
            serving = loop.create_task(self.serve(sockets))
            while not serving.done():
                try:
                    loop.run_until_complete(serving)
                except (KeyboardInterrupt, SystemExit) as error:
                    # asyncio stops its loop for these two, whichever task raises them. While this server handles the
                    # signals, they come from a background task of a plugin, which has ended; so the loop goes on.
                    if serving.done() or signal.getsignal(signal.SIGINT) != self.handle_exit:
                        raise
                    report("a background task of a plugin", error)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])  # it accepts nothing: that is done here
        if self.started:
            servers: list[Any] = self.servers
            servers += [Acceptor(each, self.door, self._protocol) for each in sockets or ()]
            self._ready()

    def _protocol(self, visit: Visit) -> asyncio.BaseProtocol:
        make: Any = self.config.http_protocol_class
        protocol: Guard = make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        protocol.guard(visit)
        return Reader(protocol)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Called between any two instructions of the loop's thread: it only takes a note, and leaves uvicorn's own
        # list of signals empty, from which it would raise them again at the end and spoil the exit code.
        if self._deadline is None and not self.should_exit:
            self._deadline = monotonic() + self._drain_seconds
        else:
            self.should_exit = self.force_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second; true ends the server."""
        if counter % _TICKS == 0:
            self.door.look(asyncio.get_running_loop().time())
        if await super().on_tick(counter):
            return True
        if self._deadline is None:
            return False
        if self._host.open_sessions == 0 or monotonic() >= self._deadline:
            return True
        if not self._host.draining:
            self._host.drain()
            sys.stderr.write(_waiting(self._host.open_sessions, self._drain_seconds))
        return False

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        ending = asyncio.create_task(self._end(sockets))
        until = monotonic() + _ENDING_SECONDS
        while not (await asyncio.wait([ending], timeout=_ENDING_TICK))[0]:
            if monotonic() >= until or len(self._host.unclosed) >= self._host.open_sessions > 0:
                self._leave()
        await ending

    async def _end(self, sockets: list[socket.socket] | None) -> None:
        for connection in list(self.server_state.connections):
            if isinstance(connection, WebSocket):
                connection.shutdown()
        self._host.end_sessions()  # so that what they hold of HTTP is answered; uvicorn would cancel it
        await super().shutdown(sockets)
        if self.force_exit:  # then uvicorn leaves the host open, to be cancelled, and logs a trace of that
            await self.lifespan.shutdown()

    def _leave(self) -> None:
        """End the process although sessions have not: nothing can make a task end that does not want to."""
        names = ", ".join(dict.fromkeys(self._host.unclosed)) or "a bot or an action"
        log.error("left %d sessions: %s did not end when it was cancelled", self._host.open_sessions, names)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _waiting(sessions: int, seconds: float) -> str:
    what, them = ("1 session", "it") if sessions == 1 else (f"{sessions} sessions", "them")
    return f"Waiting for {what} to end, at most {seconds:g} s; press Ctrl-C again to end {them} now.\n"
