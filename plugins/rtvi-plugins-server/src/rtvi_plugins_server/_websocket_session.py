"""A session as the messages of a WebSocket, without I/O.

The client's first message decides the form in which both sides send: that of a plugin, `_TextForm` or `_BinaryForm`.
Nothing is sent before it arrives. An empty binary message is a heartbeat, which is answered by another one: a page
cannot send WebSocket pings. The server of `rtvi run` calls this directly (`_uvicorn.websocket`); other servers do
through ASGI events (`_websocket_endpoint`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Final, Protocol, TypeAlias

from attrs import frozen

from rtvi_plugins.hosting import Connection
from rtvi_plugins.kinds import Audio

from ._protobuf import InvalidAudio, InvalidFrame, decode, encode

__all__ = ("EXTENSION", "HEARTBEAT", "CloseFrame", "FormChoice", "WebSocketApp", "WebSocketForm", "WebSocketSession")

log = logging.getLogger("rtvi_plugins.server")

#: In `scope["extensions"]`: `{"attach": function}`. An endpoint calls it with a `WebSocketApp` instead of accepting.
EXTENSION: Final = "rtvi_plugins.websocket_app"

#: The heartbeat of a client, and its answer.
HEARTBEAT: Final = b""

#: The published transport plays all audio at this rate, whatever a frame says.
OUTPUT_RATE: Final = 24_000

#: The close codes with which a client leaves on purpose: the normal one, and none.
LEFT: Final = frozenset((1000, 1005))

_PROTOCOL_ERROR: Final = 1002
_INVALID_DATA: Final = 1007


@frozen
class CloseFrame:
    """Why a WebSocket is closed."""

    code: int
    reason: str = ""


class WebSocketApp(Protocol):
    """The application side of a WebSocket. A text message is a `str`, a binary message is `bytes`."""

    #: Set by the server: called once after each `take`, when there is something to take or a close frame.
    on_sendable: Callable[[], None] | None

    @property
    def close_frame(self) -> CloseFrame | None:
        """Return the close frame to send after everything else; None while the app continues."""
        ...

    def charge(self, size: int) -> bool:
        """Count a frame from the client, of any kind. Return False if it must not be received."""
        ...

    def receive(self, data: str | bytes) -> CloseFrame | None:
        """Receive a message from the client. Return how to close if the message is not allowed."""
        ...

    def take(self) -> Sequence[str | bytes]:
        """Return the messages to send now, in order."""
        ...

    def disconnected(self, *, left: bool = False) -> None:
        """The client has disconnected. It has `left` on purpose if it closed the WebSocket with code 1000 or none."""
        ...


class WebSocketForm(Protocol):
    """The form of the messages on one WebSocket. A text message is a `str`, a binary message is `bytes`."""

    def receive(self, data: str | bytes) -> CloseFrame | None:
        """Pass a client's message to the session. Return how to close if it has another form."""
        ...

    def write(self, item: str | Audio) -> str | bytes:
        """Return the message for an item that the session sends."""
        ...


#: Returns the form for a connection whose client sends this first message. None leaves the choice to the next one.
FormChoice: TypeAlias = "Callable[[Connection, str | bytes], WebSocketForm | None]"


class _TextForm:
    """One RTVI message as JSON in each text message; no audio."""

    def __init__(self, connection: Connection) -> None:
        self._receive = connection.receive

    def receive(self, data: str | bytes) -> CloseFrame | None:
        if not isinstance(data, str):
            return CloseFrame(
                _PROTOCOL_ERROR, "This socket began with text frames; continue with them, not with binary ones."
            )
        self._receive(data)
        return None

    def write(self, item: str | Audio) -> str | bytes:
        assert isinstance(item, str)
        return item


class _BinaryForm:
    """RTVI messages and audio as the protobuf frames of the published WebSocket transport."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._numbers = count(1)
        connection.open_audio(OUTPUT_RATE)

    def receive(self, data: str | bytes) -> CloseFrame | None:
        if isinstance(data, str):
            return CloseFrame(
                _PROTOCOL_ERROR, "This socket began with binary frames; continue with them, not with text ones."
            )
        try:
            item = decode(data)
        except InvalidAudio as error:
            id = self._connection.id
            log.debug("session %s: rejected a frame of audio: %s", id, error, extra={"session": id})
            self._connection.refuse_audio(f"A frame of audio is not heard: {error}.")
        except InvalidFrame:
            return CloseFrame(_INVALID_DATA, "A binary frame must be a protobuf Frame; JSON goes in text frames.")
        else:
            if isinstance(item, Audio):
                self._connection.receive_audio(item)
            elif item is not None:
                self._connection.receive(item)
        return None

    def write(self, item: str | Audio) -> str | bytes:
        return encode(item, next(self._numbers))


def _published_form(connection: Connection, data: str | bytes) -> WebSocketForm:
    return _TextForm(connection) if isinstance(data, str) else _BinaryForm(connection)


class WebSocketSession:
    """A session as a `WebSocketApp`."""

    def __init__(self, connection: Connection, forms: Iterable[FormChoice] = ()) -> None:
        self.connection = connection
        self.charge = connection.charge
        self._choices = (*forms, _published_form)
        self._form: WebSocketForm | None = None
        self._is_asked = False

    @property
    def on_sendable(self) -> Callable[[], None] | None:
        """Called when there is something to take; see `Connection.on_sendable`."""
        return self.connection.on_sendable

    @on_sendable.setter
    def on_sendable(self, callback: Callable[[], None] | None) -> None:
        self.connection.on_sendable = callback

    @property
    def begun(self) -> bool:
        return self._form is not None

    @property
    def close_frame(self) -> CloseFrame | None:
        if not self.connection.closed:
            return None
        return CloseFrame(self.connection.close_code, self.connection.close_reason)

    def receive(self, data: str | bytes) -> CloseFrame | None:
        """Pass a client's message to the session. Return how to close if the message is not allowed."""
        if data == HEARTBEAT:
            self._is_asked = True
            if self.on_sendable is not None:
                self.on_sendable()
            return None
        if self._form is None:
            chosen = (choose(self.connection, data) for choose in self._choices)
            self._form = next(form for form in chosen if form is not None)
            if self.on_sendable is not None:  # messages from before could not be sent yet
                self.on_sendable()
        return self._form.receive(data)

    def take(self) -> Sequence[str | bytes]:
        """Return the messages to send now, in order; none before the client's first message."""
        if self._form is None:
            return ()
        write = self._form.write
        messages = [write(item) for item in self.connection.take()]
        if self._is_asked:
            self._is_asked = False
            messages.insert(0, HEARTBEAT)
        return messages

    def write(self, item: str | Audio) -> str | bytes:
        """Return the message for an item that the session sends. Call it after the client's first message."""
        assert self._form is not None
        return self._form.write(item)

    def disconnected(self, *, left: bool = False) -> None:
        """The client has disconnected."""
        self.connection.on_sendable = None
        self.connection.disconnected(left=left)
