"""A bot and an echo behind our server plugin: `python bench/server.py`. It prints its port, then serves.

`python bench/server.py plain` is an echo on uvicorn without our plugin. `python bench/server.py STORE` saves sessions:
`memory`, a file or a URL. `full` after it writes to the disk at once, `encrypted` encrypts, and `kept` keeps histories.
"""

from __future__ import annotations

import base64
import os
import socket
import sys

from bots import host_of, speaker
from echo import Echo, serve_plain
from measure import MEASURED, pin
from starlette.routing import WebSocketRoute

from rtvi_plugins.resuming import MemoryStore, SessionStore
from rtvi_plugins.stores import open_store
from rtvi_plugins_server import create_app
from rtvi_plugins_server._uvicorn.connections import ConnectionLimits
from rtvi_plugins_server._uvicorn.server import make_server

#: All load comes from one address.
LIMITS = ConnectionLimits(connections=10_000, connections_per_address=10_000)


def same(data: str | bytes) -> str | bytes:
    """What an echo answers."""
    return data


def _store(target: str = "", *how: str) -> SessionStore | None:
    if target == "memory":
        return MemoryStore()
    environ = {"RTVI_STORE_KEY": base64.b64encode(os.urandom(32)).decode()} if "encrypted" in how else {}
    return open_store(target, full="full" in how, environ=environ) if target else None


def main() -> None:
    pin(MEASURED)
    if sys.argv[1:] == ["plain"]:
        serve_plain(socket.create_server(("127.0.0.1", 0)), {"/echo": same})
        return
    host = host_of(speaker, store=_store(*sys.argv[1:]), keep="kept" in sys.argv)
    app = create_app(host)
    app.router.routes.insert(0, WebSocketRoute("/echo", Echo(same)))
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = make_server(app, host, drain_seconds=0, ready=lambda: print(port, flush=True), limits=LIMITS)
    server.run([listener])


if __name__ == "__main__":
    main()
