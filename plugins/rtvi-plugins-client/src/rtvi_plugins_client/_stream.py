"""A WebSocket as the stream of texts that `rtvi_plugins.client` needs."""

from __future__ import annotations

import anyio
from anyio.abc import ObjectStream
from httpx2.websockets import AsyncWebSocketSession, HTTPXWSException, WebSocketDisconnect
from wsproto.events import TextMessage
from wsproto.utilities import LocalProtocolError

__all__ = ("SocketStream",)


class SocketStream(ObjectStream[str]):
    """The text messages of a WebSocket. Other messages, such as audio, are dropped."""

    def __init__(self, socket: AsyncWebSocketSession) -> None:
        self._socket = socket
        self._ended = False

    async def send(self, item: str) -> None:
        try:
            await self._socket.send_text(item)
        except (HTTPXWSException, LocalProtocolError):  # the latter after either side has closed
            raise anyio.BrokenResourceError from None

    async def receive(self) -> str:
        while not self._ended:
            try:
                event = await self._socket.receive()
            except WebSocketDisconnect:
                self._ended = True
            except HTTPXWSException:
                self._ended = True
                raise anyio.BrokenResourceError from None
            else:
                if isinstance(event, TextMessage):
                    return event.data
        raise anyio.EndOfStream

    async def send_eof(self) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        self._ended = True
        await self._socket.close()
