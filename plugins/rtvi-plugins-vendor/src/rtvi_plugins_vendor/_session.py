"""One open WebSocket: the frames of `websockets` over a network stream of httpx2."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from secrets import token_bytes
from typing import Any, NoReturn, TypeAlias

import anyio
import anyio.lowlevel
import httpcore2
import httpx2
from attrs import define, field
from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Event, Protocol

from ._transport import TransportStream

__all__ = ("CLOSING_SECONDS", "Closed", "Lost", "Message", "Refused", "Session", "open_session")

#: A message: its data, and whether that is text.
Message: TypeAlias = "tuple[bytes, bool]"

#: How long the last messages of a connection, and its close frame, may take, in seconds.
CLOSING_SECONDS = 1.0
#: How long the vendor may take to close its side, in seconds.
_FAREWELL_SECONDS = 0.1
_LONGEST_MESSAGE = 4 * 1024 * 1024
#: The most bytes to read at once. On trio, that much memory is taken for each read.
_AT_ONCE = 64 * 1024
#: How many bytes of audio may wait to be written together.
_MANY_BYTES = 16 * 1024
_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
#: Also `ssl.SSLError`, which comes as it is.
_ENDED = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)
#: For `websockets`, which would log what users say.
log = logging.getLogger("rtvi_plugins_vendor.frames")
log.setLevel(logging.ERROR)


class Refused(Exception):
    """The vendor has refused the connection."""

    def __init__(self, response: httpx2.Response) -> None:
        super().__init__()
        self.response = response


class Lost(Exception):
    """The connection is lost, or the vendor sent what is not a WebSocket."""


class Closed(Exception):
    """The connection was closed."""

    def __init__(self, code: int, reason: str, *, by_vendor: bool) -> None:
        super().__init__()
        self.code, self.reason, self.by_vendor = code, reason, by_vendor


@asynccontextmanager
async def open_session(
    client: httpx2.AsyncClient, path: str, params: Mapping[str, Any], headers: Mapping[str, str]
) -> AsyncGenerator[Session]:
    """Open a connection, and close it after the block. Raise `Refused` if the vendor does not open it."""
    upgrade = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-key": b64encode(token_bytes(16)).decode(),
        "sec-websocket-version": "13",
    }
    async with client.stream("GET", path, params=params or None, headers={**headers, **upgrade}) as response:
        if response.status_code != 101:
            raise Refused(response)
        session = Session(response.extensions["network_stream"])
        try:
            yield session
        finally:
            with anyio.CancelScope(shield=True):
                await session.close()


@define(eq=False)
class Session:
    """One open connection. One task may call `receive`, and one `flush`."""

    _stream: Any
    #: The stream beneath it, which can write at once. None on trio.
    _beneath: TransportStream | None = field(init=False)
    _protocol: Protocol = field(factory=lambda: Protocol(CLIENT, max_size=_LONGEST_MESSAGE, logger=log))
    #: How many bytes of audio `put_now` has not written yet.
    _unwritten: int = 0
    #: The frames of a message that is not complete.
    _frames: list[Frame] = field(factory=list[Frame])
    _pong: anyio.Event = field(factory=anyio.Event)

    def __attrs_post_init__(self) -> None:
        """Find the stream beneath that of httpcore2."""
        beneath = getattr(self._stream, "_stream", None)
        self._beneath = beneath if isinstance(beneath, TransportStream) else None

    async def receive(self, deliver: Callable[[list[Message]], object]) -> NoReturn:
        """Deliver the messages of each read, until the connection ends. Then raise `Closed` or `Lost`.

        With them there may be something to write, such as the answer to a ping. Raise what `deliver` raises.
        """

        def take(data: bytes) -> None:
            self._protocol.receive_data(data)
            received = self._protocol.events_received()
            deliver([message for event in received if (message := self._take(event)) is not None])
            if (close := self._protocol.close_rcvd) is not None:
                raise Closed(close.code, close.reason, by_vendor=bool(self._protocol.close_rcvd_then_sent))
            if self._protocol.parser_exc is not None:  # it was malformed or too long
                raise Lost

        if self._beneath is not None:
            # httpcore2 has what came together with the response that opened the connection.
            with anyio.move_on_after(0):
                take(await self._read())
            await self._beneath.read_all(take)
        while data := await self._read():
            take(data)
        raise Lost

    def put(self, data: bytes, *, is_text: bool) -> None:
        """Have `flush` send a message. Raise `Lost` if the connection is being closed."""
        try:
            (self._protocol.send_text if is_text else self._protocol.send_binary)(data)
        except InvalidState:
            raise Lost from None

    @property
    def has_output(self) -> bool:
        """Whether there is anything for `flush`."""
        return bool(self._protocol.writes)

    def put_now(self, data: bytes, *, is_text: bool) -> bool:
        """Send a message without a wait. Return False if that is not possible now.

        A text is written at once. Audio is written a moment later, together with what follows it.
        """
        if self._beneath is None or not self._beneath.is_writable or self._protocol.state is not OPEN:
            return False
        self.put(data, is_text=is_text)
        self._unwritten += len(data)
        if is_text or self._unwritten > _MANY_BYTES:
            self._write_now()
        else:
            self._beneath.call_soon(self._write_now)
        return True

    def _write_now(self) -> None:
        self._unwritten = 0
        if self._beneath is not None and self._beneath.is_writable and self._protocol.writes:
            self._beneath.write_now(b"".join(self._protocol.data_to_send()))

    async def flush(self) -> None:
        """Write what waits. Raise `Lost` if the connection is lost."""
        # `data_to_send` empties the queue: its bytes are lost if the write is cancelled. If this task is cancelled
        # already, leave them to `close`, for example the answer to a close frame.
        await anyio.lowlevel.checkpoint_if_cancelled()
        if data := b"".join(self._protocol.data_to_send()):
            await self._write(data)

    def ping(self) -> anyio.Event | None:
        """Have `flush` send a ping, and return what its answer sets. None if the connection is being closed."""
        if self._protocol.state is not OPEN:
            return None
        self._protocol.send_ping(b"")
        self._pong = anyio.Event()
        return self._pong

    async def close(self) -> None:
        """Close the connection, with a close frame if the vendor takes it in time."""
        # It is called under a shield, and a vendor that no longer reads would block it.
        with anyio.move_on_after(CLOSING_SECONDS), suppress(Lost):
            was_open = self._protocol.state is OPEN
            if was_open:
                self._protocol.send_close(1000)
            await self.flush()
            if was_open:
                await self._read_rest()
        await self._stream.aclose()

    async def _read_rest(self) -> None:
        """Read until the vendor has closed too. What is not read would reset the connection: it loses what we sent."""
        with anyio.move_on_after(_FAREWELL_SECONDS):
            while await self._read():
                pass

    async def _read(self) -> bytes:
        """Return some bytes, or none at the end."""
        try:
            data: bytes = await self._stream.read(_AT_ONCE)
        except (httpcore2.ReadError, *_ENDED):
            return b""
        return data

    async def _write(self, data: bytes) -> None:
        try:
            await self._stream.write(data)
        except (httpcore2.WriteError, *_ENDED):
            raise Lost from None

    def _take(self, frame: Event) -> Message | None:
        """Return a message once all of its frames are here."""
        if not isinstance(frame, Frame) or frame.opcode not in _DATA:  # the protocol answers pings and the close frame
            if isinstance(frame, Frame) and frame.opcode is Opcode.PONG:
                self._pong.set()
            return None
        if frame.fin and not self._frames:
            return bytes(frame.data), frame.opcode is Opcode.TEXT
        self._frames.append(frame)
        if not frame.fin:
            return None
        frames, self._frames = self._frames, []
        return b"".join(each.data for each in frames), frames[0].opcode is Opcode.TEXT
