"""Serve an app within an event loop that already runs, with the server of `rtvi run`.

This is for frameworks that own the process::

    async with serving(create_app(host), host, listener):
        await until_the_end()
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.types import ASGIApp

from rtvi_plugins.hosting import Host

from ._uvicorn.server import make_server

__all__ = ("serving",)


@asynccontextmanager
async def serving(app: ASGIApp, host: Host, listener: socket.socket) -> AsyncGenerator[asyncio.Task[None]]:
    """Serve on a listening socket during the block. The host is entered and left too. Only for asyncio.

    Yields the task that serves, which ends early only if the server fails. At the end of the block, sessions that are
    still open are closed with code 1012. To let them end in their own time, call `Host.drain` before, and wait until
    `Host.open_sessions` is 0.
    """
    ready = asyncio.Event()
    server = make_server(app, host, drain_seconds=0, ready=ready.set)
    task = asyncio.create_task(server.serve([listener]))
    waiting = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
            raise RuntimeError("The server has ended before it was ready.")
        yield task
    finally:
        waiting.cancel()
        server.end()
        await task
