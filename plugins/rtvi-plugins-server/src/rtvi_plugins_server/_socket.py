"""The WebSocket endpoint `/ws?token=…`: it finds the session and has it carried.

Our own server carries a session itself (`_websocket`): it offers that as an extension of ASGI. On any other server the
session is carried by events of ASGI, here.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final
from urllib.parse import parse_qs

import anyio
from attrs import frozen
from starlette.types import Message, Receive, Scope, Send

from rtvi_plugins.errors import RequestError
from rtvi_plugins.hosting import Host

from ._carried import Goodbye, SessionFrames
from ._refusal import close_event, refuse
from ._websocket import EXTENSION

__all__ = ("SessionSocket",)

# A client that has not taken the last messages so long after the session's end has stopped reading.
_STALLED_SECONDS: Final = 5.0


@frozen
class SessionSocket:
    """The ASGI app behind `/ws?token=…`, for the sessions that wait in `host`."""

    host: Host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        try:
            connection = self.host.claim(_token(scope))
        except RequestError as error:
            await refuse(error, scope, receive, send)
            return
        frames = SessionFrames(connection)
        if EXTENSION in scope.get("extensions", {}):
            scope["extensions"][EXTENSION]["carry"](frames)
            return
        try:
            with suppress(OSError):  # What servers raise from `send` when the peer is gone.
                await send({"type": "websocket.accept"})
                if goodbye := await _Carrier(frames, receive, send).carry():
                    await send(close_event(goodbye.code, goodbye.reason))
        finally:
            frames.lost()


def _token(scope: Scope) -> str:
    query: bytes = scope["query_string"]
    return parse_qs(query.decode("latin-1")).get("token", [""])[0]


class _Carrier:
    """Carries one session over one accepted socket, by events of ASGI."""

    def __init__(self, frames: SessionFrames, receive: Receive, send: Send) -> None:
        self._frames = frames
        self._connection = frames.connection
        self._receive = receive
        self._send = send
        #: The form is known, or the session has ended before it was.
        self._begun = anyio.Event()
        self._group = anyio.create_task_group()
        self._goodbye: Goodbye | None = None

    async def carry(self) -> Goodbye | None:
        """Carry both ways until either side ends. Returns how to close, or None when the peer is gone."""
        async with self._group:
            self._connection.on_end = self._give_up
            if self._connection.closed:
                self._give_up()
            self._group.start_soon(self._write)
            self._goodbye = await self._read()
            self._group.cancel_scope.cancel()
        return self._goodbye

    def _give_up(self) -> None:
        # The session has ended; what it said last is still sent, unless the client has stopped reading.
        self._group.cancel_scope.deadline = anyio.current_time() + _STALLED_SECONDS
        self._begun.set()

    async def _read(self) -> Goodbye | None:
        """Hand everything to the session until the peer is gone or sends what it must not."""
        while (event := await self._receive())["type"] != "websocket.disconnect":
            text = event.get("text")
            data: str | bytes = event["bytes"] if text is None else text
            if self._frames.charge(len(data)):
                if goodbye := self._frames.receive(data):
                    return goodbye
                self._begun.set()
        return None

    async def _write(self) -> None:
        """Send what the session says until it has ended, or the peer is gone."""
        await self._begun.wait()
        with suppress(OSError):  # The peer is gone.
            if self._frames.begun:
                await self._send_all()
            self._goodbye = self._frames.goodbye
        self._group.cancel_scope.cancel()

    async def _send_all(self) -> None:
        while items := await self._connection.outgoing():
            for item in items:
                await self._send(_event(self._frames.frame(item)))


def _event(frame: str | bytes) -> Message:
    return {"type": "websocket.send", "text" if isinstance(frame, str) else "bytes": frame}
