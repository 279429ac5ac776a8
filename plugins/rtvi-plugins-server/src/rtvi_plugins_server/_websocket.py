"""A WebSocket under uvicorn: frames go from the transport to what it carries, and back, without a task between.

The parser is that of `websockets`; this decides when to read and to write. A client gets a turn of the loop for each
few frames and no memory for what it does not read: pongs are not sent while it does not read, and only the last of
them afterwards; what it is to be sent waits where it comes from.
"""

from __future__ import annotations

import asyncio
import logging
import os
import struct
from collections import deque
from http import HTTPStatus
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from ._carried import Carried, Goodbye
from ._door import Visit
from ._handshake import EXTENSION, Handshake
from ._seldom import Seldom

__all__ = ("EXTENSION", "WebSocket")

log = logging.getLogger("rtvi_plugins.server")
#: What `websockets` has to say of each connection is of no use to an operator, and it may hold tokens.
_silent = logging.getLogger("rtvi_plugins.server.websockets")
_silent.setLevel(logging.CRITICAL)
_refusals, _failures = Seldom(log), Seldom(log)

#: What is read at once, what of it is parsed at once, and how many frames are handled in one turn of the loop.
_READ, _PARSED, _FRAMES = 8_192, 2_048, 20
#: Reading stops when so much waits to be parsed.
_BEHIND: Final = 4 * _READ
#: The longest message, in bytes; far above what a session accepts, so that the session can answer one that is too long.
MESSAGE_BYTES: Final = 1_048_576
#: The most fragments of a message. Clients that split messages do so by kilobytes.
_FRAGMENTS: Final = 128
#: What a client may have on its way while its session ends, in bytes, and what each frame of it counts for besides.
_LATE_BYTES, _LATE_FRAME = 262_144, 1_024
#: Silence after which a client is asked whether it is there, and after which it is given up, in seconds.
_PING_SECONDS, _LOST_SECONDS = 20.0, 40.0
#: How long an app may take to answer a handshake.
_HANDSHAKE_SECONDS: Final = 30.0

_TEXT, _BYTES, _PING, _PONG = 0x81, 0x82, b"\x89\x00", b"\x8a"
_INVALID_DATA, _POLICY, _RESTART = 1007, 1008, 1012

#: Where a loop fills the buffer and passes it on in one call, all connections can share one.
_SHARED: Final[bytearray | None] = bytearray(_READ) if os.name == "posix" else None


class WebSocket(asyncio.BufferedProtocol):
    """The protocol of one connection, from its handshake on."""

    def __init__(
        self,
        *,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        visit: Visit,
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._loop = _loop or asyncio.get_running_loop()
        self._server = server_state
        self._visit = visit
        app: Any = cast("Any", config.loaded_app)  # pyright: ignore[reportUnknownMemberType]
        self._handshake = Handshake(self, app, config.root_path, app_state)
        self._parser = ServerProtocol(max_size=MESSAGE_BYTES, logger=_silent)
        self._transport: asyncio.Transport
        self._carried: Carried | None = None
        self._buffer = _SHARED if _SHARED is not None else bytearray(_READ)
        #: What was read and is not parsed yet, and what was parsed and is not handled yet.
        self._unparsed = b""
        self._frames: deque[Request | Response | Frame] = deque()
        self._fragments: list[bytes] = []
        self._fragments_are_text = False
        self._reading = True
        self._handling = self._scheduled = False
        self._writable = True
        #: There is something to be taken, or a goodbye.
        self._sendable = False
        self._pong = b""
        #: The app was asked to answer the handshake.
        self._asked = False
        #: A close frame was sent or the answer to a failed handshake; nothing more is.
        self._closed = False
        #: Nothing more is read.
        self._over = False
        #: What has come since the session ended, in bytes.
        self._late = 0
        self._active = True
        self._pinged = False
        self._quiet_since = self._begun = self._loop.time()
        #: When the session ended, or the close frame was sent.
        self._ended: float | None = None

    # ---- the transport ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; uvicorn calls this when the head of a handshake has come."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's own is no asyncio.Transport
        self._visit.begin(self._transport, self._look)
        self._server.connections.add(self)  # type: ignore[arg-type]

    def connection_lost(self, exc: Exception | None) -> None:
        """End: whatever is carried hears of it."""
        self._over = self._closed = True
        self._server.connections.discard(self)
        self._frames.clear()
        self._lose()
        self._handshake.lost()
        self._visit.end()

    def _lose(self) -> None:
        carried, self._carried = self._carried, None
        if carried is not None:
            carried.lost()

    def get_buffer(self, sizehint: int) -> bytearray:
        """Return where the loop may put what it reads: so much at once."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what the loop has read."""
        self.data_received(bytes(memoryview(self._buffer)[:nbytes]))

    def eof_received(self) -> None:
        """The client sends nothing more, so it has left; the loop closes the transport."""

    def pause_writing(self) -> None:
        """Send nothing: the client does not read fast enough."""
        self._writable = False

    def resume_writing(self) -> None:
        """Go on sending."""
        self._writable = True
        self._send_pong()
        if self._sendable:
            self._flush()

    def data_received(self, data: bytes) -> None:
        """Take some bytes of the client's."""
        self._active = True
        if self._over:
            return
        self._unparsed = self._unparsed + data if self._unparsed else data
        if not self._scheduled:
            self._handle()

    # ---- reading ---------------------------------------------------------------------------------------------------

    def _handle(self) -> None:
        """Handle what was read: a few frames now, and the rest after everybody else has had a turn."""
        self._scheduled, self._handling = False, True
        left = _FRAMES
        while self._frames or (self._unparsed and self._next()):
            if left == 0:
                self._scheduled = True
                self._loop.call_soon(self._handle)
                break
            if self._is_to_wait():
                break
            left -= 1
            self._handle_one(self._frames.popleft())
        self._handling = False
        if not self._frames and self._parser.parser_exc is not None:
            self._failed(self._parser.parser_exc)
        elif self._parser.handshake_exc is not None and not self._asked and not self._over:
            self.reject(400, (), b"This is no handshake of a WebSocket.")
            self._close_transport()
        self._read(wanted=len(self._unparsed) < _BEHIND and not self._over)
        if self._sendable:
            self._flush()

    def _is_to_wait(self) -> bool:
        """Whether what comes next cannot be handled yet: the app has not answered the handshake, or is behind."""
        if self._carried is None:
            return self._asked and not self._closed
        return self._carried.full

    def _next(self) -> bool:
        """Parse until there is a frame; return whether there is."""
        while not self._frames and self._unparsed and not self._over:
            piece, self._unparsed = self._unparsed[:_PARSED], self._unparsed[_PARSED:]
            self._parser.receive_data(piece)
            self._frames.extend(self._parser.events_received())
            self._answered(self._parser.data_to_send())
        return bool(self._frames)

    def _read(self, *, wanted: bool) -> None:
        if wanted != self._reading and not self._transport.is_closing():
            self._reading = wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _answered(self, writes: list[bytes]) -> None:
        """Send what the parser answers by itself: pongs, of which the last will do, and a close frame."""
        for each in writes:
            if each[:1] == _PONG:
                self._pong = each
            elif each and not self._closed:
                self._closed = True
                self._transport.write(each)
        self._send_pong()

    def _send_pong(self) -> None:
        if self._pong and self._writable and not self._closed:
            pong, self._pong = self._pong, b""
            self._transport.write(pong)

    def _handle_one(self, event: Request | Response | Frame) -> None:
        if isinstance(event, Frame):
            if event.opcode is Opcode.CLOSE:
                self._close_transport()
            elif self._ended is not None:
                self._drop(len(event.data))
            elif self._carried is not None and self._carried.charge(len(event.data)):
                self._take_frame(self._carried, event)
        elif isinstance(event, Request):
            self._answer(self._parser.accept(event), event)

    def _drop(self, size: int) -> None:
        """Drop a frame that comes after the end. A client that sends on as if nothing had ended is not read."""
        self._late += _LATE_FRAME + size
        if self._late > _LATE_BYTES:
            self._over = True
            self._frames.clear()
            self._unparsed = b""

    def _take_frame(self, carried: Carried, frame: Frame) -> None:
        opcode, data = frame.opcode, bytes(frame.data)
        if opcode is Opcode.TEXT or opcode is Opcode.BINARY:
            if frame.fin:
                self._take_message(carried, data, text=opcode is Opcode.TEXT)
            else:
                self._fragments, self._fragments_are_text = [data], opcode is Opcode.TEXT
        elif opcode is Opcode.CONT:
            self._fragments.append(data)
            if frame.fin:
                fragments, self._fragments = self._fragments, []
                self._take_message(carried, b"".join(fragments), text=self._fragments_are_text)
            elif len(self._fragments) > _FRAGMENTS:
                self.close(Goodbye(_POLICY, f"A message has at most {_FRAGMENTS} fragments."))

    def _take_message(self, carried: Carried, data: bytes, *, text: bool) -> None:
        message: str | bytes = data
        if text:
            try:
                message = data.decode()
            except UnicodeDecodeError:
                _failures.warn("closed a WebSocket: the client has sent a text that is not UTF-8")
                self.close(Goodbye(_INVALID_DATA, "A text frame must be UTF-8."))
                return
        if (goodbye := carried.receive(message)) is not None:
            self.close(goodbye)

    def _failed(self, error: Exception) -> None:
        """The client does not speak the protocol. The parser has sent why, and reads nothing more."""
        if not isinstance(error, EOFError):
            _failures.warn("closed a WebSocket: the client has broken the protocol (%s)", type(error).__name__)
        self._close_transport()

    def _close_transport(self) -> None:
        self._over = self._closed = True
        self._frames.clear()
        self._lose()
        self._transport.close()

    # ---- the handshake ---------------------------------------------------------------------------------------------

    def _answer(self, response: Response, request: Request) -> None:
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            self._asked = True
            self._handshake.begin(self._transport, request, response, self._server.tasks)
        else:
            self.reject(response.status_code, response.headers.raw_items(), bytes(response.body or b""))

    def accept(self, response: Response, carried: Carried) -> None:
        """Answer the handshake, and carry from now on."""
        if self._closed:
            carried.lost()
            return
        self._parser.send_response(response)
        self._transport.write(b"".join(self._parser.data_to_send()))
        self._carried = carried
        carried.on_sendable, carried.on_room = self._on_sendable, self._go_on
        self._go_on()
        self._on_sendable()

    def reject(self, status: int, headers: Any, body: bytes) -> None:
        """Answer the handshake with an HTTP response, and close."""
        if self._closed:
            return
        _refusals.warn("refused the handshake of a WebSocket: %d %s", status, HTTPStatus(status).phrase)
        written = Headers([(name, value) for name, value in headers])
        for name, value in (("Connection", "close"), ("Content-Length", str(len(body)))):
            written.setdefault(name, value)
        response = Response(status, HTTPStatus(status).phrase, written, body)
        self._transport.write(response.serialize())
        self._close_transport()

    # ---- writing ---------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        if not self._scheduled and not self._handling:
            self._scheduled = True
            self._loop.call_soon(self._handle)

    def _on_sendable(self) -> None:
        self._sendable = True
        if not self._handling:
            self._flush()

    def _flush(self) -> None:
        """Send what there is to be sent, as far as the client reads; at the end, say goodbye."""
        carried = self._carried
        if carried is None or self._closed:
            return
        if self._writable:
            self._send_all(carried)
        if (goodbye := carried.goodbye) is not None:
            if self._ended is None:
                self._ended = self._loop.time()
            if self._writable:
                self.close(goodbye)

    def _send_all(self, carried: Carried) -> None:
        self._sendable = False
        if items := carried.take():
            data = b"".join([_frame(item) for item in items])
            self._visit.wrote(len(data))
            self._transport.write(data)

    def close(self, goodbye: Goodbye) -> None:
        """Send a close frame. The transport is closed when the client has answered it, or after a while."""
        if self._closed or self._parser.state is not State.OPEN:
            return
        if self._carried is not None and self._writable:
            self._send_all(self._carried)
        self._parser.send_close(goodbye.code, goodbye.reason.encode()[:123].decode(errors="ignore"))
        self._transport.write(b"".join(self._parser.data_to_send()))
        self._closed = True
        self._ended = self._ended or self._loop.time()
        self._lose()

    # ---- time ------------------------------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        """Called once a second."""
        if self._ended is not None:
            if now >= self._ended + self._visit.bounds.close_seconds:
                self._transport.abort()
        elif self._parser.state is State.CONNECTING:
            if now >= self._begun + _HANDSHAKE_SECONDS:
                self._transport.abort()
        else:
            self._look_for_silence(now)

    def _look_for_silence(self, now: float) -> None:
        silent = now - self._quiet_since
        if self._active:
            self._active = self._pinged = False
            self._quiet_since = now
        elif silent >= _LOST_SECONDS and self._reading:
            self._transport.abort()
        elif silent >= _PING_SECONDS and self._writable and not (self._pinged and self._reading):
            self._pinged = True
            self._transport.write(_PING)
            if not self._reading:  # its answer is not read; that it is gone shows when more is sent
                self._quiet_since = now

    def shutdown(self) -> None:
        """Close, for the server ends."""
        self.close(Goodbye(_RESTART))
        self._close_transport()


def _frame(item: str | bytes) -> bytes:
    """Return the frame of a server, which has no mask."""
    first, payload = (_TEXT, item.encode()) if isinstance(item, str) else (_BYTES, item)
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65_536:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload
