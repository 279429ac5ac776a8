"""Run the app on uvicorn, and let sessions finish when the process is asked to end."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from types import FrameType
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from rtvi_plugins.errors import report
from rtvi_plugins.hosting import Host

from .acceptor import Acceptor, MakeProtocol
from .connections import ConnectionLimiter, ConnectionLimits, TrackedConnection
from .handshake import HandshakeProtocol
from .http_guard import HttpGuard, guarded_protocol
from .small_reads import SmallReads
from .websocket import WebSocket

__all__ = ("Server", "make_server")

log = logging.getLogger("rtvi_plugins.server")

# How long responses may take that are being sent when the last session has ended.
_LAST_SECONDS = 2
# How long sessions may take to send their last messages.
_LAST_MESSAGES_SECONDS = 2.0
# How long the services of sessions may take to close, and how often that is checked.
_ENDING_SECONDS, _ENDING_TICK = 15.0, 1.0
#: How long sessions that can continue in another process wait for their running actions, after `drain_seconds`.
_MOVING_SECONDS: Final = 2.0
#: The longest message of a WebSocket, in bytes. A session accepts less, and answers a message that is too long.
MESSAGE_BYTES: Final = 1_048_576
# uvicorn ticks ten times a second.
_TICKS = 10


def make_server(
    app: ASGIApp,
    host: Host,
    *,
    drain_seconds: float,
    ready: Callable[[], None],
    limits: ConnectionLimits | None = None,
    tell: Callable[[str], None] | None = None,
) -> Server:
    """Return a server, whose `run` serves until a signal ends it. `ready` is called when requests are accepted.

    `tell` gets a sentence for the operator when sessions continue after the first signal.
    """
    config = uvicorn.Config(
        app,
        http=guarded_protocol(),
        ws=HandshakeProtocol,
        ws_max_size=MESSAGE_BYTES,
        ws_per_message_deflate=False,
        lifespan="off",  # uvicorn would log a traceback when the host does not open
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # operators give the public URL instead
        timeout_graceful_shutdown=_LAST_SECONDS,
    )
    limiter = ConnectionLimiter(limits or ConnectionLimits())
    return Server(config, host, limiter, drain_seconds=drain_seconds, ready=ready, tell=tell)


class Server(uvicorn.Server):
    """A uvicorn server that drains: the first signal refuses new sessions, the second ends all at once.

    Between them, live sessions continue until they end, at most for `drain_seconds`. Then their sockets are closed with
    code 1012 (service restart).
    """

    def __init__(
        self,
        config: uvicorn.Config,
        host: Host,
        limiter: ConnectionLimiter,
        *,
        drain_seconds: float,
        ready: Callable[[], None],
        tell: Callable[[str], None] | None,
    ) -> None:
        super().__init__(config)
        self._host = host
        self.limiter = limiter
        #: Makes what accepts connections in another way than from a listening socket.
        self.acceptor: Callable[[ConnectionLimiter, MakeProtocol], Any] | None = None
        self._tell = tell
        self._drain_seconds = drain_seconds
        self._ready = ready
        self._deadline: float | None = None
        #: Whether a signal came before the server had started.
        self._given_up = False
        self._closing = asyncio.Event()
        self._hosting: asyncio.Task[None] | None = None

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        with asyncio.Runner(loop_factory=self.config.get_loop_factory()) as runner:
            loop = runner.get_loop()
            serving = loop.create_task(self.serve(sockets))
            while not serving.done():
                try:
                    loop.run_until_complete(serving)
                except (KeyboardInterrupt, SystemExit) as error:
                    if self._given_up:
                        return
                    # asyncio stops its loop for these two errors, whichever task raises them. While this server
                    # handles the signals, they come from a background task of a plugin, and the loop continues.
                    if serving.done() or signal.getsignal(signal.SIGINT) != self.handle_exit:
                        raise
                    report("a background task of a plugin", error)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        opened = asyncio.get_running_loop().create_future()
        self._hosting = asyncio.create_task(self._keep_host(opened))
        await opened
        await super().startup([])  # without sockets: `Acceptor` accepts
        if self.started:
            servers: list[Any] = self.servers
            servers += [Acceptor(each, self.limiter, self._protocol) for each in sockets or ()]
            if self.acceptor is not None:
                servers.append(self.acceptor(self.limiter, self._protocol))
            self._ready()

    async def _keep_host(self, opened: asyncio.Future[None]) -> None:
        """Keep the host open until the shutdown. It is entered and left in one task, which uvicorn does not cancel."""
        try:
            async with self._host:
                opened.set_result(None)
                await self._closing.wait()
        except (Exception, KeyboardInterrupt) as error:  # the latter by a signal, see `handle_exit`
            if opened.done():
                raise
            opened.set_exception(error)

    def _protocol(self, connection: TrackedConnection) -> asyncio.BaseProtocol:
        make: Any = self.config.http_protocol_class
        protocol: HttpGuard = make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        protocol.guard(connection)
        return SmallReads(protocol)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Called between any two instructions of the loop's thread, so it sets attributes or raises. It leaves uvicorn's
        # list of signals empty: uvicorn would raise them again at the end and change the exit code.
        if not self.started:
            self._given_up = True
            raise KeyboardInterrupt  # the host is opening, which may take long
        if self._deadline is None and not self.should_exit:
            self._deadline = monotonic() + self._drain_seconds
        else:
            self.should_exit = self.force_exit = True

    def end(self) -> None:
        """End the server without waiting for sessions: they are closed now. May be called in any thread."""
        self._deadline = -math.inf

    async def on_tick(self, counter: int) -> bool:
        """Return whether to end the server; called ten times a second."""
        if counter % _TICKS == 0:
            self.limiter.check(asyncio.get_running_loop().time())
        if await super().on_tick(counter):
            return True
        if self._deadline is None:
            return False
        if self._host.open_sessions == 0:
            return True
        if (now := monotonic()) >= self._deadline:
            return now >= self._deadline + _MOVING_SECONDS or self._host.move_sessions()
        if not self._host.draining:
            self._host.drain()
            if self._tell is not None:
                self._tell(_waiting(self._host.open_sessions, self._drain_seconds))
        return False

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        ending = asyncio.create_task(self._end(sockets))
        until = monotonic() + _ENDING_SECONDS
        while not (await asyncio.wait([ending], timeout=_ENDING_TICK))[0]:
            if monotonic() >= until or len(self._host.unclosed) >= self._host.open_sessions > 0:
                self._abandon()
        await ending

    async def _end(self, sockets: list[socket.socket] | None) -> None:
        # First, so that all requests are answered: uvicorn would close the WebSockets and cancel the HTTP requests.
        self._host.end_sessions()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_MESSAGES_SECONDS):
                for connection in list(self.server_state.connections):
                    if isinstance(connection, WebSocket):
                        await connection.until_detached()
        await super().shutdown(sockets)
        self._closing.set()
        if self._hosting is not None:
            await self._hosting

    def _abandon(self) -> None:
        """End the process although sessions have not ended: a task cannot be forced to end."""
        if sessions := self._host.open_sessions:
            names = ", ".join(dict.fromkeys(self._host.unclosed)) or "a bot or an action"
            log.error("abandoned %d sessions: %s did not end when it was cancelled", sessions, names)
        else:
            log.error("ended the process: a lifespan, the store of sessions or a plugin did not close in time")
        with suppress(OSError):
            sys.stdout.flush()
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(0)


def _waiting(sessions: int, seconds: float) -> str:
    what, them = ("1 session", "it") if sessions == 1 else (f"{sessions} sessions", "them")
    most = "" if seconds == math.inf else f", at most {seconds:g} s"
    return f"Waiting for {what} to end{most}; press Ctrl-C again to end {them} now."
