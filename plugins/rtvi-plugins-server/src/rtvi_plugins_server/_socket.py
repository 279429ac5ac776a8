"""The WebSocket endpoint: one session's texts, and its audio, in and out.

The first frame that a client sends tells in which form (`_Texts` or `_Binary`) both sides speak, so nothing is sent
before it has come. A plain ASGI app, for this is the path of every message.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Final, Protocol
from urllib.parse import parse_qs

import anyio
from attrs import frozen
from starlette.types import Message, Receive, Scope, Send

from rtvi_plugins.errors import RequestError
from rtvi_plugins.hosting import Connection, Host
from rtvi_plugins.kinds import Audio

from ._frames import BadAudio, NotAFrame, decode, encode
from ._refusal import close_event, refuse

__all__ = ("SessionSocket",)

log = logging.getLogger("rtvi_plugins.server")

#: The published transport plays everything at this rate, whatever a frame says.
OUTPUT_RATE: Final = 24_000

_PROTOCOL_ERROR: Final = 1002
_INVALID_DATA: Final = 1007
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
                if goodbye := await _Carrier(connection, receive, send).carry():
                    await send(goodbye)
        finally:
            connection.disconnected()


def _token(scope: Scope) -> str:
    query: bytes = scope["query_string"]
    return parse_qs(query.decode("latin-1")).get("token", [""])[0]


class _Form(Protocol):
    """What frames look like."""

    def take(self, event: Message) -> Message | None:
        """Hand what a client has sent to the session. Returns how to close if it is not of this form."""
        ...

    def frame(self, item: str | Audio) -> Message:
        """The frame for what the session says."""
        ...


class _Texts:
    """RTVI messages as JSON, one to a text frame; no audio."""

    def __init__(self, connection: Connection) -> None:
        self._receive = connection.receive

    def take(self, event: Message) -> Message | None:
        text = event.get("text")
        if text is None:
            return close_event(_PROTOCOL_ERROR, "This socket began with text frames; go on with them, not binary ones.")
        self._receive(text)
        return None

    def frame(self, item: str | Audio) -> Message:
        return {"type": "websocket.send", "text": item}


class _Binary:
    """RTVI messages and audio as the frames of the published WebSocket transport."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._numbers = count(1)
        connection.open_audio(OUTPUT_RATE)

    def take(self, event: Message) -> Message | None:
        data = event.get("bytes")
        if data is None:
            return close_event(_PROTOCOL_ERROR, "This socket began with binary frames; go on with them, not text ones.")
        try:
            item = decode(data)
        except BadAudio as error:
            log.debug("session %s: refused a frame of audio: %s", self._connection.id, error)
        except NotAFrame:
            return close_event(_INVALID_DATA, "A binary frame must be a protobuf Frame; JSON goes in text frames.")
        else:
            self._hand(item)
        return None

    def _hand(self, item: str | Audio | None) -> None:
        if isinstance(item, Audio):
            self._connection.receive_audio(item)
        elif item is not None:
            self._connection.receive(item)

    def frame(self, item: str | Audio) -> Message:
        return {"type": "websocket.send", "bytes": encode(item, next(self._numbers))}


class _Carrier:
    """Carries one session over one accepted socket."""

    def __init__(self, connection: Connection, receive: Receive, send: Send) -> None:
        self._connection = connection
        self._receive = receive
        self._send = send
        self._form: _Form | None = None
        #: The form is known, or the session has ended before it was.
        self._begun = anyio.Event()
        self._group = anyio.create_task_group()
        self._goodbye: Message | None = None

    async def carry(self) -> Message | None:
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

    async def _read(self) -> Message | None:
        """Hand everything to the session until the peer is gone or sends what it must not."""
        receive, event = self._receive, await self._receive()
        if event["type"] == "websocket.disconnect":
            return None
        form = self._form = _form_of(event, self._connection)
        self._begun.set()
        while (goodbye := form.take(event)) is None:
            event = await receive()
            if event["type"] == "websocket.disconnect":
                return None
        return goodbye

    async def _write(self) -> None:
        """Send what the session says until it has ended, or the peer is gone."""
        await self._begun.wait()
        with suppress(OSError):  # The peer is gone.
            if self._form is not None:
                await self._send_all(self._form.frame)
            self._goodbye = close_event(self._connection.close_code, self._connection.close_reason)
        self._group.cancel_scope.cancel()

    async def _send_all(self, frame: Callable[[str | Audio], Message]) -> None:
        while items := await self._connection.outgoing():
            for item in items:
                await self._send(frame(item))


def _form_of(event: Message, connection: Connection) -> _Form:
    return _Binary(connection) if event.get("text") is None else _Texts(connection)
