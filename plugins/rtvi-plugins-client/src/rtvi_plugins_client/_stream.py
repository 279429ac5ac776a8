"""A WebSocket as the stream of texts that `rtvi_plugins.client` needs."""

from __future__ import annotations

import math
from contextlib import suppress

import anyio
from anyio.abc import ObjectStream
from httpx2.websockets import AsyncWebSocketSession, HTTPXWSException, WebSocketDisconnect
from wsproto.events import TextMessage
from wsproto.utilities import LocalProtocolError

__all__ = ("SocketStream",)

#: The close codes after which the session continues: the client, or the server, has moved.
_GOES_ON = frozenset((1001, 1006, 1012))
#: How often a ping is sent, and how long its pong may take, in seconds. A network that fails sends nothing at all.
_PING_SECONDS, _PONG_SECONDS = 1.0, 2.0
#: How long a connection that does not answer may take to close, in seconds.
_CLOSE_SECONDS = 1.0


class SocketStream(ObjectStream[str]):
    """The text messages of a WebSocket. Other messages, such as audio, are dropped.

    If the connection is lost, `receive` raises `BrokenResourceError`. If the server ends the session, it raises
    `EndOfStream`.
    """

    def __init__(self, socket: AsyncWebSocketSession) -> None:
        self._socket = socket
        self._ended = self._lost = self._closed = False
        #: Set when the connection is over.
        self.over = anyio.Event()
        self._receiving: anyio.CancelScope | None = None

    async def send(self, item: str) -> None:
        try:
            await self._socket.send_text(item)
        except (HTTPXWSException, LocalProtocolError):  # the latter after either side has closed
            raise anyio.BrokenResourceError from None

    async def receive(self) -> str:
        while not self._ended:
            event: object = None
            try:
                with anyio.CancelScope() as self._receiving:
                    event = await self._socket.receive()
            except WebSocketDisconnect as error:
                self._ended, self._lost = True, error.code in _GOES_ON
            except HTTPXWSException:
                self._ended = self._lost = True
            if isinstance(event, TextMessage):
                return event.data
        self.over.set()
        if self._lost:
            raise anyio.BrokenResourceError
        raise anyio.EndOfStream

    async def watch(self) -> None:
        """Send pings until the connection is over. End it if a pong is missing."""
        while not self.over.is_set():
            with anyio.move_on_after(_PING_SECONDS):
                await self.over.wait()
                return
            with anyio.move_on_after(_PONG_SECONDS) as patience:
                try:
                    await (await self._socket.ping()).wait()
                except (HTTPXWSException, LocalProtocolError):
                    return  # `receive` notices it too
            if patience.cancelled_caught:
                self._ended = self._lost = True
                if self._receiving is not None:
                    self._receiving.cancel()

    async def send_eof(self) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        self._ended = True
        self.over.set()
        if self._closed:
            return
        self._closed = True
        # Not with the code that says that the client leaves, if it will come back.
        with (
            anyio.move_on_after(_CLOSE_SECONDS if self._lost else math.inf),
            suppress(anyio.ClosedResourceError, anyio.BrokenResourceError),
        ):
            await self._socket.close(1001 if self._lost else 1000)
