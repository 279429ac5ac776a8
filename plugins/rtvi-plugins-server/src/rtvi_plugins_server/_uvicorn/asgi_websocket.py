"""A WebSocket for an ASGI app that sends and receives events, as apps of plugins do."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from uvicorn.protocols.utils import ClientDisconnected

from .._websocket_session import CloseFrame

__all__ = ("NORMAL", "AsgiWebSocket")

#: How many messages of the client may wait for the app before reading pauses.
_WAITING: Final = 32
#: Close codes: a normal end, and a client that sent no code.
NORMAL: Final = 1000
_NO_CODE, _LOST = 1005, 1006


class AsgiWebSocket:
    """An ASGI app as a `WebSocketApp`: events in, events out."""

    def __init__(self) -> None:
        self.on_sendable: Callable[[], None] | None = None
        self.on_drained: Callable[[], None] | None = None
        self.close_frame: CloseFrame | None = None
        self._received: deque[dict[str, Any]] = deque()
        self._sent: list[str | bytes] = []
        self._disconnected = self._left = False
        self._changed = asyncio.Event()

    # ---- called by the protocol ------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Return whether the app is behind."""
        return len(self._received) >= _WAITING

    def charge(self, size: int) -> bool:
        """Accept every frame: limits are up to the app."""
        return True

    def receive(self, data: str | bytes) -> CloseFrame | None:
        """Keep a message for the app."""
        self._received.append({"type": "websocket.receive", "text" if isinstance(data, str) else "bytes": data})
        self._changed.set()
        return None

    def take(self) -> Sequence[str | bytes]:
        """Return what the app has sent."""
        sent, self._sent = self._sent, []
        self._changed.set()
        return sent

    def disconnected(self, *, left: bool = False) -> None:
        """The client has disconnected."""
        self._disconnected, self._left = True, left
        self._changed.set()

    # ---- called for the app ----------------------------------------------------------------------------------------

    async def receive_event(self) -> dict[str, Any]:
        """Return the next message, or the disconnect."""
        await self._until(lambda: bool(self._received) or self._disconnected)
        if not self._received:
            return {"type": "websocket.disconnect", "code": _NO_CODE if self._left else _LOST}
        event = self._received.popleft()
        if len(self._received) == _WAITING // 2 and self.on_drained is not None:
            self.on_drained()
        return event

    async def send(self, event: dict[str, Any]) -> None:
        """Send a message and wait until it was taken, or close."""
        if self._disconnected or self.close_frame is not None:
            raise ClientDisconnected
        if event["type"] == "websocket.close":
            self.end(CloseFrame(event.get("code", NORMAL), event.get("reason") or ""))
            return
        data = event.get("bytes")
        self._sent.append(cast("str", event["text"]) if data is None else data)
        self._sendable()
        await self._until(lambda: not self._sent or self._disconnected)

    def end(self, close_frame: CloseFrame) -> None:
        """Close after everything was taken."""
        if self.close_frame is None:
            self.close_frame = close_frame
            self._sendable()

    def _sendable(self) -> None:
        if self.on_sendable is not None:
            self.on_sendable()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()
