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
    """A protocol whose `data_received` gets little at once."""

    def __init__(self) -> None:
        self._buffer = _SHARED if _SHARED is not None else bytearray(READ_BYTES)

    def get_buffer(self, sizehint: int) -> bytearray:
        """Return the buffer for the next read."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on what the loop has read."""
        self.data_received(bytes(memoryview(self._buffer)[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Take some bytes from the client."""
        raise NotImplementedError
