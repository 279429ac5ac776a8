"""A connection as a stream, for a client in the same process."""

from __future__ import annotations

import anyio
import anyio.lowlevel
from anyio.abc import ObjectStream

from .connection import Connection

__all__ = ("ConnectionStream",)


class ConnectionStream(ObjectStream[str]):
    """The texts of a connection as a stream, for a client in the same process."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._received: list[str] = []

    async def send(self, item: str) -> None:
        if self._connection.closed:
            raise anyio.BrokenResourceError
        self._connection.receive(item)
        await anyio.lowlevel.checkpoint()

    async def receive(self) -> str:
        while not self._received:
            batch = await self._connection.outgoing()
            if not batch:
                raise anyio.EndOfStream
            self._received = [each for each in reversed(batch) if isinstance(each, str)]
        return self._received.pop()

    async def send_eof(self) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        self._connection.disconnected()
