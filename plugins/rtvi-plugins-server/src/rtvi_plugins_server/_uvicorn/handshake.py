"""The handshake of a WebSocket, by uvicorn's own protocol.

An app that serves a session attaches it through the ASGI extension `EXTENSION`, and `WebSocket` continues with it. Any
other app, as plugins have, continues with uvicorn's protocol, within the same limits.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final, cast

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from rtvi_plugins.security import LogThrottle

from .._refusals import refusal_with
from .._websocket_session import EXTENSION, WebSocketApp
from .connections import TrackedConnection
from .frames import MOST_FRAGMENTS
from .small_reads import READ_BYTES, SmallReads
from .websocket import WebSocket

__all__ = ("HandshakeProtocol",)

log = logging.getLogger("rtvi_plugins.server")
#: The logs of uvicorn and `websockets` about each connection do not help an operator, and may contain tokens.
_silent = logging.getLogger("rtvi_plugins.server.websockets")
_silent.setLevel(logging.CRITICAL)
_refusals = LogThrottle(log)

#: How long an app may take to answer a handshake.
_HANDSHAKE_SECONDS: Final = 30.0


class HandshakeProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol of a WebSocket, until an app attaches itself."""

    def __init__(self, *, connection: TrackedConnection, **given: Any) -> None:
        super().__init__(**given)
        self.logger = self.conn.logger = _silent
        self._connection = connection
        self._deadline = self.loop.time() + _HANDSHAKE_SECONDS
        self._attached = False
        #: What the client has sent before its handshake was answered.
        self._early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connection.attach(self.transport, self._check_deadline)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._connection.closed()

    def _check_deadline(self, now: float) -> None:
        if not self.handshake_complete and now >= self._deadline:
            self.transport.abort()

    # ---- reading ---------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self.handshake_initiated and not self.handshake_complete:
            self._early += data
            if len(self._early) > READ_BYTES:
                self.transport.pause_reading()
            return
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            _warn_of_refusal(HTTPStatus.BAD_REQUEST)
            sentence = "This is not a WebSocket handshake."
            self.transport.write(refusal_with(400, sentence, "bad-request", retryable=False, retry_after=None))
            self.transport.close()
        buffered = len(self.conn.reader.buffer) + sum(map(len, self.frames))
        if len(self.frames) > MOST_FRAGMENTS or not self._connection.may_buffer(buffered):
            self.transport.abort()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            cast("Any", self.scope)["extensions"][EXTENSION] = {"attach": self._attach}
        else:
            _warn_of_refusal(self.response.status_code)

    def handle_ping(self) -> None:
        if self.writable.is_set():
            super().handle_ping()
        else:  # nothing is buffered for a client that does not read
            self.conn.data_to_send()

    # ---- the app's answer ------------------------------------------------------------------------------------------

    def _attach(self, app: WebSocketApp) -> None:
        self._attached = self.handshake_complete = True
        if self.disconnected or self.transport.is_closing():
            app.disconnected()
            return
        self.conn.send_response(self.response)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.connections.discard(self)
        websocket = WebSocket(self.conn, self.transport, self._connection, self.connections, app)
        self.transport.set_protocol(SmallReads(websocket))
        websocket.begin(self._early)

    async def run_asgi(self) -> None:
        app: Any = cast("Any", self.app)  # pyright: ignore[reportUnknownMemberType]
        try:
            await app(self.scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except Exception as error:
            log.error("the app of a WebSocket raised %s", type(error).__name__)
        if self._attached:
            return
        if self.close_sent:  # also by a refusal
            return
        if not self.handshake_complete:
            _warn_of_refusal(HTTPStatus.INTERNAL_SERVER_ERROR)
            self.initial_response = None  # the app has begun a refusal, and not ended it
            self.send_500_response()
            self.transport.close()
        else:
            with suppress(ClientDisconnected):
                await self.send({"type": "websocket.close"})

    async def send(self, message: Any) -> None:
        if not self.handshake_complete:
            if message["type"] == "websocket.close":
                _warn_of_refusal(HTTPStatus.FORBIDDEN)
            elif message["type"] == "websocket.http.response.start":
                _warn_of_refusal(message["status"])
        await super().send(message)
        if message["type"] == "websocket.send":
            self._connection.wrote(len(message.get("bytes") or (message.get("text") or "").encode()))
        if self._early and self.handshake_complete:
            early, self._early = self._early, b""
            self.transport.resume_reading()
            super().data_received(early)


def _warn_of_refusal(status: int) -> None:
    _refusals.warn("refused the handshake of a WebSocket: %d %s", status, HTTPStatus(status).phrase)
