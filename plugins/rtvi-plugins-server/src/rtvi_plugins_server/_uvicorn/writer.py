"""Write to a WebSocket's client, and nothing while it does not read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Final

from websockets.datastructures import Headers
from websockets.http11 import Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from .._websocket_session import CloseFrame
from .connections import TrackedConnection
from .frames import server_frame

__all__ = ("Writer",)

_PING, _PONG = b"\x89\x00", b"\x8a"
#: The most bytes of a close frame's reason.
_REASON: Final = 123


class Writer:
    """The server's side of one WebSocket."""

    def __init__(self, parser: ServerProtocol, connection: TrackedConnection) -> None:
        self.transport: asyncio.Transport
        #: Whether the client reads fast enough to be sent more.
        self.writable = True
        #: A close frame, or the response to a failed handshake, was sent. Nothing more is sent.
        self.closed = False
        self._parser = parser
        self._connection = connection
        #: The last pong, while it cannot be sent.
        self._pong = b""

    def resume(self) -> None:
        """Go on writing: the client reads again."""
        self.writable = True
        self._send_pong()

    def answer(self, writes: Sequence[bytes]) -> None:
        """Send what the parser answers by itself: of pongs the last, and a close frame."""
        for each in writes:
            if each[:1] == _PONG:
                self._pong = each
            elif each and not self.closed:
                self.closed = True
                self.transport.write(each)
        self._send_pong()

    def _send_pong(self) -> None:
        # asyncio logs each write to a lost client, and a client may have sent very many pings.
        if self._pong and self.writable and not (self.closed or self.transport.is_closing()):
            pong, self._pong = self._pong, b""
            self.transport.write(pong)

    def ping(self) -> None:
        """Ask whether the client is there."""
        self.transport.write(_PING)

    def send(self, messages: Sequence[str | bytes]) -> None:
        """Send messages."""
        if messages:
            data = b"".join([server_frame(message) for message in messages])
            self._connection.wrote(len(data))
            self.transport.write(data)

    def accept(self, response: Response) -> None:
        """Accept the handshake."""
        self._parser.send_response(response)
        self.transport.write(b"".join(self._parser.data_to_send()))

    def reject(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        """Refuse the handshake with an HTTP response."""
        written = Headers(list(headers))
        for name, value in (("Connection", "close"), ("Content-Length", str(len(body)))):
            written.setdefault(name, value)
        response = Response(status, HTTPStatus(status).phrase, written, body)
        self.transport.write(response.serialize())
        self.closed = True

    @property
    def can_close(self) -> bool:
        """Return whether a close frame can be sent: the handshake was accepted, and neither side has closed."""
        return not self.closed and self._parser.state is State.OPEN

    def close(self, close_frame: CloseFrame) -> None:
        """Send a close frame."""
        self._parser.send_close(close_frame.code, close_frame.reason.encode()[:_REASON].decode(errors="ignore"))
        self.transport.write(b"".join(self._parser.data_to_send()))
        self.closed = True
