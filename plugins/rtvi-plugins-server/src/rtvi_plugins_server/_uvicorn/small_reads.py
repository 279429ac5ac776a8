"""Read little at once, so that no client has very much parsed while others wait."""

from __future__ import annotations

import asyncio
import os
from typing import Final

__all__ = ("READ_BYTES", "SmallReads")

#: How many bytes are read at once. A plain `asyncio.Protocol` gets up to 256 KiB.
READ_BYTES: Final = 8_192
#: All connections share one buffer where the loop fills it and passes it on in one call.
_SHARED: Final[bytearray | None] = bytearray(READ_BYTES) if os.name == "posix" else None


class SmallReads(asyncio.BufferedProtocol):
    """Passes what the loop calls to another protocol, which gets little at once."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._buffer = _SHARED if _SHARED is not None else bytearray(READ_BYTES)
        self._protocol = protocol
        self.data_received = protocol.data_received

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._protocol.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(memoryview(self._buffer)[:nbytes]))
