"""uvicorn's HTTP protocol with a guard in front of it, and between them and the event loop, reads of a few bytes."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

from .http_guard import HttpGuard
from .small_reads import SmallReads

__all__ = ("GuardedH11", "GuardedProtocol", "http_protocol")


class GuardedProtocol(SmallReads):
    """Passes what the loop calls to a guard."""

    def __init__(self, guard: HttpGuard) -> None:
        super().__init__()
        self._guard = guard

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._guard.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._guard.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._guard.data_received(data)

    def pause_writing(self) -> None:
        self._guard.pause_writing()

    def resume_writing(self) -> None:
        self._guard.resume_writing()


class GuardedH11(HttpGuard, H11Protocol):
    pass


def http_protocol() -> type[HttpGuard]:
    """Return uvicorn's protocol with a guard: the one for httptools if it is installed, else the one for h11."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:
        return GuardedH11

    class _GuardedTools(HttpGuard, HttpToolsProtocol):
        pass

    return _GuardedTools
