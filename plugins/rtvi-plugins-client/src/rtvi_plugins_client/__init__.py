"""A client for bots that are served over HTTP and WebSocket: `connect`, and the command `rtvi call`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._connect import Unreachable, connect

__all__ = ("Unreachable", "connect")


def __getattr__(name: str) -> Any:
    # Imported when it is used, so that `rtvi call --help` is quick: httpx2 takes most of the time.
    if name in __all__:
        from . import _connect

        return getattr(_connect, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
