"""Run the app on uvicorn, say when it listens, and let sessions finish when the process is asked to end."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from time import monotonic
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from rtvi_plugins.hosting import Host

__all__ = ("Server", "serve")

# Far above the longest message that a session accepts, so that the session can answer one that is too long.
_FRAME_BYTES = 4 * 1_048_576
# For answers that are being sent when the last session is over.
_LAST_SECONDS = 2


def serve(
    app: ASGIApp, host: Host, listener: socket.socket, *, drain_seconds: float, ready: Callable[[], None]
) -> None:
    """Serve until a signal ends it. `ready` is called once, when requests are taken."""
    config = uvicorn.Config(
        app,
        ws="websockets-sansio",
        ws_per_message_deflate=False,  # costs more than everything else that is done for a short message
        ws_max_size=_FRAME_BYTES,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # whoever has a proxy says the public URL
        timeout_graceful_shutdown=_LAST_SECONDS,
    )
    Server(config, host, drain_seconds=drain_seconds, ready=ready).run([listener])


class Server(uvicorn.Server):
    """A uvicorn server that drains: the first signal refuses new sessions, the second ends at once.

    Between them live sessions go on until they end by themselves or `drain_seconds` are over; then their sockets are
    closed with code 1012 (service restart).
    """

    def __init__(self, config: uvicorn.Config, host: Host, *, drain_seconds: float, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._host = host
        self._drain_seconds = drain_seconds
        self._ready = ready
        self._deadline: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Called between any two instructions of the loop's thread: it only takes a note, and leaves uvicorn's own
        # list of signals empty, from which it would raise them again at the end and spoil the exit code.
        if self._deadline is None and not self.should_exit:
            self._deadline = monotonic() + self._drain_seconds
        else:
            self.should_exit = self.force_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second; true ends the server."""
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
        await super().shutdown(sockets)
        if self.force_exit:  # then uvicorn leaves the host open, to be cancelled, and logs a trace of that
            await self.lifespan.shutdown()


def _waiting(sessions: int, seconds: float) -> str:
    what, them = ("1 session", "it") if sessions == 1 else (f"{sessions} sessions", "them")
    return f"Waiting for {what} to end, at most {seconds:g} s; press Ctrl-C again to end {them} now.\n"
