"""The harness's side of a WebSocket."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

import anyio
from attrs import define
from httpx2.websockets import AsyncWebSocketSession

from rtvi_plugins.hosting import Host

__all__ = ("Harness", "Socket")

Harness: TypeAlias = "Callable[..., AbstractAsyncContextManager[Socket]]"


@define(eq=False)
class Socket:
    """The harness's side of a session."""

    host: Host
    socket: AsyncWebSocketSession

    async def send(self, type: str, data: Any) -> None:
        """Send an RTVI message."""
        await self.socket.send_text(json.dumps({"label": "rtvi-ai", "type": type, "id": type, "data": data}))

    async def ask(self, name: str, data: Any) -> None:
        """Send a request of the harness."""
        await self.send("client-message", {"t": name, "d": data})

    async def until(self, type: str) -> Any:
        """Return the data of the next message of a type."""
        with anyio.fail_after(60):
            while True:
                message = json.loads(await self.socket.receive_text())
                if message["type"] == type:
                    return message.get("data")
