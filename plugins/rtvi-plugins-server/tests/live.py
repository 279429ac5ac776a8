"""A server in a thread of this process, with real sockets, and the actions of a client with bare sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import define
from starlette.routing import BaseRoute

from rtvi_plugins.hosting import Host
from rtvi_plugins_server import create_app
from rtvi_plugins_server._uvicorn.connections import ConnectionLimits
from rtvi_plugins_server._uvicorn.server import Server, make_server

DESK = Path(__file__).with_name("desk.py")
#: How long a test waits for what must come, in seconds: a guard against hanging.
PATIENCE = 60.0


@define(eq=False)
class Live:
    """A running server."""

    server: Server
    address: tuple[str, int]
    loop: asyncio.AbstractEventLoop

    def connect(self, sent: bytes = b"") -> socket.socket:
        """Open a connection, and send some bytes."""
        found = socket.create_connection(self.address, timeout=PATIENCE)
        found.sendall(sent)
        return found

    def ask(self, function: Callable[[], Any]) -> Any:
        """Return the result of a function that is called on the server's loop."""

        async def call() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(PATIENCE)

    @property
    def buffered(self) -> int:
        """Return how many bytes of incomplete messages are counted for this machine."""
        return self.server.limiter.buffered("127.0.0.1")

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition is true on the server's loop."""

        async def wait() -> None:
            while not condition():  # noqa: ASYNC110  # it is not for the server to say that it is so
                await asyncio.sleep(0.01)

        asyncio.run_coroutine_threadsafe(wait(), self.loop).result(PATIENCE)


@contextmanager
def live(
    host: Host,
    limits: ConnectionLimits | None = None,
    *,
    loop: str = "auto",
    routes: Sequence[BaseRoute] = (),
    **options: Any,
) -> Generator[Live]:
    """Serve a host until the block is left, with routes before its own, on one of uvicorn's loops."""
    ready, found = threading.Event(), list[asyncio.AbstractEventLoop]()

    def begin() -> None:
        found.append(asyncio.get_running_loop())
        ready.set()

    app = create_app(host, **options)
    app.router.routes[:0] = routes
    server = make_server(app, host, drain_seconds=0, ready=begin, limits=limits)
    server.config.loop = loop
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()[:2]
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            assert ready.wait(PATIENCE)
            yield Live(server, address, found[0])
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive()


def everything(client: socket.socket) -> bytes:
    """Return what the server still sends, until it closes."""
    parts: list[bytes] = []
    try:
        while part := client.recv(65_536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def answer(client: socket.socket) -> tuple[int, dict[str, Any]]:
    """Return the status and the JSON body of an answer after which the server closes."""
    head, _, body = everything(client).partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)
