"""The HTTP and WebSocket front door of a bot: `create_app` for any ASGI server, and the command `rtvi run`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import create_app

__all__ = ("create_app",)


def __getattr__(name: str) -> Any:
    # Only now, for `rtvi run --help` to be quick: Starlette and the core take longer than all the rest.
    if name == "create_app":
        from .app import create_app

        return create_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
