"""A bot behind our server plugin, with an echo beside it: `python bench/server.py`. It prints its port, then serves."""

from __future__ import annotations

import socket

from bots import host_of, speaker
from echo import EchoFrames
from measure import MEASURED, pin
from starlette.routing import WebSocketRoute
from starlette.types import Receive, Scope, Send

from rtvi_plugins_server import create_app
from rtvi_plugins_server._door import Bounds
from rtvi_plugins_server._serving import serve
from rtvi_plugins_server._websocket import EXTENSION

#: All load comes from one address.
BOUNDS = Bounds(connections=10_000, connections_per_address=10_000)


class Echo:
    """Every text comes back as it is: what this server can do at most, for what it carries itself."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        scope["extensions"][EXTENSION]["carry"](EchoFrames(lambda data: data))


def main() -> None:
    pin(MEASURED)
    host = host_of(speaker)
    app = create_app(host)
    app.router.routes.insert(0, WebSocketRoute("/echo", Echo()))
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    serve(app, host, listener, drain_seconds=0, ready=lambda: print(port, flush=True), bounds=BOUNDS)


if __name__ == "__main__":
    main()
