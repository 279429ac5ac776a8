"""The WebSocket endpoint `/ws?token=…`: find the session of a token and connect it.

In development mode, a client without a token gets a new session with the bot's defaults.

The server of `rtvi run` reads and writes for a session itself, and offers that as an ASGI extension. On any other
server, this module reads and writes through ASGI events.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import anyio
from attrs import frozen
from starlette.requests import HTTPConnection
from starlette.types import Message, Receive, Scope, Send

from rtvi_plugins.errors import RequestError
from rtvi_plugins.hosting import Host

from ._error_responses import close_event, send_error
from ._websocket_session import EXTENSION, HEARTBEAT, LEFT, CloseFrame, FormChoice, WebSocketSession
from .starting import client_address

__all__ = ("WebSocketEndpoint",)

# How long a client may take to read the last messages after its session has ended.
_STALLED_SECONDS: Final = 5.0


@frozen
class WebSocketEndpoint:
    """The ASGI app behind `/ws?token=…`, for the sessions of `host` that wait for their client.

    `forms` are more forms of messages, besides those of the published clients; the first that fits is used.
    """

    host: Host
    forms: Sequence[FormChoice] = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        try:
            connection = self.host.claim(await self._token(HTTPConnection(scope)))
        except RequestError as error:
            await send_error(error, scope, receive, send)
            return
        session, left = WebSocketSession(connection, self.forms), False
        if EXTENSION in scope.get("extensions", {}):
            scope["extensions"][EXTENSION]["attach"](session)
            return
        try:
            with suppress(OSError):  # Servers raise it from `send` when the client has disconnected.
                await send({"type": "websocket.accept"})
                transport = _AsgiTransport(session, receive, send)
                if close_frame := await transport.run():
                    await send(close_event(close_frame.code, close_frame.reason))
                left = transport.left
        finally:
            session.disconnected(left=left)

    async def _token(self, request: HTTPConnection) -> str:
        """Return the token of a request; in development mode, start a session for a request without one."""
        token = request.query_params.get("token")
        if token is not None or not self.host.dev:
            return token or ""
        address = client_address(request)
        self.host.charge(0, address=address)
        return (await self.host.start(address=address)).token


class _AsgiTransport:
    """Reads and writes the messages of one session through ASGI events."""

    def __init__(self, session: WebSocketSession, receive: Receive, send: Send) -> None:
        self._session = session
        self._connection = session.connection
        self._receive = receive
        self._send = send
        #: The first message has arrived, or the session has ended before it.
        self._begun = anyio.Event()
        self._group = anyio.create_task_group()
        self._close_frame: CloseFrame | None = None
        #: Whether the client has closed the WebSocket on purpose.
        self.left = False

    async def run(self) -> CloseFrame | None:
        """Read and write until either side ends. Return how to close; None if the client has disconnected."""
        async with self._group:
            self._connection.on_end = self._limit_sending
            if self._connection.closed:
                self._limit_sending()
            self._group.start_soon(self._write)
            self._close_frame = await self._read()
            self._group.cancel_scope.cancel()
        return self._close_frame

    def _limit_sending(self) -> None:
        # The session has ended. Its last messages are still sent, unless the client has stopped reading.
        self._group.cancel_scope.deadline = anyio.current_time() + _STALLED_SECONDS
        self._begun.set()

    async def _read(self) -> CloseFrame | None:
        """Pass every message to the session, until the client disconnects or sends one that is not allowed."""
        while (event := await self._receive())["type"] != "websocket.disconnect":
            text = event.get("text")
            data: str | bytes = event["bytes"] if text is None else text
            if self._session.charge(len(data)):
                if close_frame := self._session.receive(data):
                    return close_frame
                if self._session.begun:
                    self._begun.set()
                    if data == HEARTBEAT:
                        with suppress(OSError):  # the client has disconnected, which is the next event
                            await self._send(_event(HEARTBEAT))
        self.left = event.get("code") in LEFT
        return None

    async def _write(self) -> None:
        """Send what the session says, until it has ended or the client has disconnected."""
        await self._begun.wait()
        with suppress(OSError):  # the client has disconnected
            if self._session.begun:
                await self._send_all()
            self._close_frame = self._session.close_frame
        self._group.cancel_scope.cancel()

    async def _send_all(self) -> None:
        while items := await self._connection.outgoing():
            for item in items:
                await self._send(_event(self._session.write(item)))


def _event(message: str | bytes) -> Message:
    return {"type": "websocket.send", "text" if isinstance(message, str) else "bytes": message}
