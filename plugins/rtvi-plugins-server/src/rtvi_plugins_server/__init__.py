"""The HTTP and WebSocket front door of a bot: `create_app` for any ASGI server, and the command `rtvi run`."""

from __future__ import annotations

from .app import create_app

__all__ = ("create_app",)
