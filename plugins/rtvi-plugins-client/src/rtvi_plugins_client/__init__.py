"""A client for bots that are served over HTTP and WebSocket: `connect`, and the command `rtvi call`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._connect import Unreachable, connect

__all__ = ("Unreachable", "connect")


def __getattr__(name: str) -> Any:
    # Only now, for `rtvi call --help` to be quick: httpx2 takes longer than all the rest.
    if name in __all__:
        from . import _connect

        return getattr(_connect, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
