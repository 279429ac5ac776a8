"""The WebSocket endpoint: one session's texts in and out, one JSON text frame for each.

A plain ASGI app, for this is the path of every message. `_text_of` and `_frame` are all that knows what a frame looks
like: another form of frames means another pair, chosen by the first frame that the client sends.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final
from urllib.parse import parse_qs

import anyio
from attrs import frozen
from starlette.types import Message, Receive, Scope, Send

from rtvi_plugins.errors import RequestError
from rtvi_plugins.hosting import Connection, Host

from ._refusal import close_event, refuse

__all__ = ("SessionSocket",)

_UNSUPPORTED_DATA: Final = 1003
# A client that has not taken the last messages so long after the session's end has stopped reading.
_STALLED_SECONDS: Final = 20.0


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
        try:
            with suppress(OSError):  # What servers raise from `send` when the peer is gone.
                await send({"type": "websocket.accept"})
                if goodbye := await _carry(connection, receive, send):
                    await send(goodbye)
        finally:
            connection.disconnected()


def _token(scope: Scope) -> str:
    query: bytes = scope["query_string"]
    return parse_qs(query.decode("latin-1")).get("token", [""])[0]


async def _carry(connection: Connection, receive: Receive, send: Send) -> Message | None:
    """Carry texts both ways until either side ends. Returns how to close, or None when the peer is gone."""
    goodbye: Message | None = None

    async def write() -> None:
        nonlocal goodbye
        goodbye = await _write(connection, send)
        group.cancel_scope.cancel()

    def give_up() -> None:
        # The session has ended; what it said last is still sent, unless the client has stopped reading.
        group.cancel_scope.deadline = anyio.current_time() + _STALLED_SECONDS

    async with anyio.create_task_group() as group:
        connection.on_end = give_up
        group.start_soon(write)
        goodbye = await _read(connection, receive)
        group.cancel_scope.cancel()
    return goodbye


async def _read(connection: Connection, receive: Receive) -> Message | None:
    """Hand every text to the session until the peer is gone or sends what is not a text."""
    take = connection.receive
    while True:
        event = await receive()
        text = _text_of(event)
        if text is None:
            return None if event["type"] == "websocket.disconnect" else _not_a_text()
        take(text)


async def _write(connection: Connection, send: Send) -> Message | None:
    """Send what the session says until it has ended, or the peer is gone."""
    try:
        while texts := await connection.outgoing():
            for text in texts:
                await send(_frame(text))
    except OSError:  # The peer is gone.
        return None
    return close_event(connection.close_code, connection.close_reason)


def _text_of(event: Message) -> str | None:
    text: str | None = event.get("text")
    return text


def _frame(text: str) -> Message:
    return {"type": "websocket.send", "text": text}


def _not_a_text() -> Message:
    return close_event(_UNSUPPORTED_DATA, "This endpoint takes RTVI messages as JSON in text frames, not binary ones.")
