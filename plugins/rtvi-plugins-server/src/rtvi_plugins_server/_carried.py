"""A session's frames: what comes over a WebSocket becomes messages and audio of a session, and the other way.

The first frame that a client sends decides the form (`_Texts` or `_Binary`) in which both sides speak, so nothing is
sent before it has come. There is no I/O here: `_websocket` carries the frames itself, `_socket` by way of ASGI.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import count
from typing import Final, Protocol

from attrs import frozen

from rtvi_plugins.hosting import Connection
from rtvi_plugins.kinds import Audio

from ._frames import BadAudio, NotAFrame, decode, encode

__all__ = ("Carried", "Goodbye", "SessionFrames")

log = logging.getLogger("rtvi_plugins.server")

#: The published transport plays everything at this rate, whatever a frame says.
OUTPUT_RATE: Final = 24_000

_PROTOCOL_ERROR: Final = 1002
_INVALID_DATA: Final = 1007


@frozen
class Goodbye:
    """How a WebSocket is closed."""

    code: int
    reason: str = ""


class Carried(Protocol):
    """What stands at the server's end of a WebSocket. A text is a `str`, a binary frame is `bytes`."""

    #: Set by the carrier: called when there is something to take, or a goodbye; once after each `take`.
    on_sendable: Callable[[], None] | None
    #: Set by the carrier: called when it is no longer full.
    on_room: Callable[[], None] | None

    @property
    def full(self) -> bool:
        """Whether the client has to wait before it sends more."""
        ...

    @property
    def goodbye(self) -> Goodbye | None:
        """How to close, once everything was taken; None as long as it goes on."""
        ...

    def charge(self, size: int) -> bool:
        """Count a frame of any kind that the client has sent; False when it is not to be received."""
        ...

    def receive(self, data: str | bytes) -> Goodbye | None:
        """Take a message of the client's. Return how to close if it must not come."""
        ...

    def take(self) -> Sequence[str | bytes]:
        """Return what is to be sent now, in order."""
        ...

    def lost(self) -> None:
        """The client is gone."""
        ...


class _Form(Protocol):
    """What frames look like."""

    def receive(self, data: str | bytes) -> Goodbye | None:
        """Hand what a client has sent to the session. Return how to close if it is not of this form."""
        ...

    def frame(self, item: str | Audio) -> str | bytes:
        """Return the frame for what the session says."""
        ...


class _Texts:
    """RTVI messages as JSON, one to a text frame; no audio."""

    def __init__(self, connection: Connection) -> None:
        self._receive = connection.receive

    def receive(self, data: str | bytes) -> Goodbye | None:
        if not isinstance(data, str):
            return Goodbye(
                _PROTOCOL_ERROR, "This socket began with text frames; go on with them, not with binary ones."
            )
        self._receive(data)
        return None

    def frame(self, item: str | Audio) -> str | bytes:
        assert isinstance(item, str)
        return item


class _Binary:
    """RTVI messages and audio as the frames of the published WebSocket transport."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._numbers = count(1)
        connection.open_audio(OUTPUT_RATE)

    def receive(self, data: str | bytes) -> Goodbye | None:
        if isinstance(data, str):
            return Goodbye(
                _PROTOCOL_ERROR, "This socket began with binary frames; go on with them, not with text ones."
            )
        try:
            item = decode(data)
        except BadAudio as error:
            log.debug("session %s: refused a frame of audio: %s", self._connection.id, error)
            self._connection.refuse_audio(f"A frame of audio is not heard: {error}.")
        except NotAFrame:
            return Goodbye(_INVALID_DATA, "A binary frame must be a protobuf Frame; JSON goes in text frames.")
        else:
            if isinstance(item, Audio):
                self._connection.receive_audio(item)
            elif item is not None:
                self._connection.receive(item)
        return None

    def frame(self, item: str | Audio) -> str | bytes:
        return encode(item, next(self._numbers))


class SessionFrames:
    """A session as it stands at the end of a WebSocket."""

    full = False

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.charge = connection.charge
        self.on_room: Callable[[], None] | None = None
        self._form: _Form | None = None

    @property
    def on_sendable(self) -> Callable[[], None] | None:
        """Called when there is something to take; see `Connection.on_sendable`."""
        return self.connection.on_sendable

    @on_sendable.setter
    def on_sendable(self, callback: Callable[[], None] | None) -> None:
        self.connection.on_sendable = callback

    @property
    def begun(self) -> bool:
        """Whether the client has sent its first frame."""
        return self._form is not None

    @property
    def goodbye(self) -> Goodbye | None:
        """How to close, once the session has ended."""
        if not self.connection.closed:
            return None
        return Goodbye(self.connection.close_code, self.connection.close_reason)

    def receive(self, data: str | bytes) -> Goodbye | None:
        """Hand what a client has sent to the session. Return how to close if it must not come."""
        if self._form is None:
            self._form = _Texts(self.connection) if isinstance(data, str) else _Binary(self.connection)
            if self.on_sendable is not None:  # what was said before could not be sent
                self.on_sendable()
        return self._form.receive(data)

    def take(self) -> Sequence[str | bytes]:
        """Return the frames that are to be sent now, in order; none before the client's first."""
        if self._form is None:
            return ()
        frame = self._form.frame
        return [frame(item) for item in self.connection.take()]

    def frame(self, item: str | Audio) -> str | bytes:
        """Return the frame for what the session says, after the client's first."""
        assert self._form is not None
        return self._form.frame(item)

    def lost(self) -> None:
        """The client is gone."""
        self.connection.on_sendable = None
        self.connection.disconnected()
