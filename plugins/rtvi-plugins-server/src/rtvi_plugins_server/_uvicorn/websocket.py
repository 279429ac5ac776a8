"""A WebSocket under uvicorn: messages go from the transport to a `WebSocketApp` and back, without a task between.

This protocol decides when to read and when to write:

- A client gets a turn of the event loop for a few frames at a time.
- Nothing is buffered for a client that does not read. Its pongs wait, and only the last one is sent; its messages stay
  in the app.

Reading and writing depend on each other here, so the whole protocol is one class, and this module is longer than most.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from rtvi_plugins.security import LogThrottle

from .._websocket_session import LEFT, CloseFrame, WebSocketApp
from .connections import TrackedConnection
from .frames import FrameReader, ReadEvent
from .handshake import Handshake
from .keepalive import Keepalive
from .small_reads import READ_BYTES, SmallReads
from .writer import Writer

__all__ = ("WebSocket",)

log = logging.getLogger("rtvi_plugins.server")
#: The logs of `websockets` about each connection do not help an operator, and may contain tokens.
_silent = logging.getLogger("rtvi_plugins.server.websockets")
_silent.setLevel(logging.CRITICAL)
_refusals, _failures = LogThrottle(log), LogThrottle(log)

#: How many frames are handled in one turn of the loop.
_FRAMES: Final = 20
#: Reading pauses when so many bytes wait to be handled.
_BEHIND: Final = 4 * READ_BYTES
#: The longest message, in bytes. A session accepts less, and answers a message that is too long.
MESSAGE_BYTES: Final = 1_048_576
#: What a client may still send after its session has ended, in bytes, and how many bytes each frame adds to that.
_LATE_BYTES, _LATE_FRAME = 262_144, 1_024
#: How long an app may take to answer a handshake.
_HANDSHAKE_SECONDS: Final = 30.0
_POLICY, _RESTART = 1008, 1012


class WebSocket(SmallReads):
    """The protocol of one connection, from its handshake on."""

    def __init__(
        self,
        *,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        connection: TrackedConnection,
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__()
        self._loop = _loop or asyncio.get_running_loop()
        self._server = server_state
        self._connection = connection
        asgi_app: Any = cast("Any", config.loaded_app)  # pyright: ignore[reportUnknownMemberType]
        self._handshake = Handshake(self, asgi_app, config.root_path, app_state)
        self._parser = ServerProtocol(max_size=MESSAGE_BYTES, logger=_silent)
        self._writer = Writer(self._parser, connection)
        self._reader = FrameReader(self._parser, self._writer.answer)
        self._transport: asyncio.Transport
        self._app: WebSocketApp | None = None
        self._reading = True
        self._handling = self._scheduled = False
        #: The app has something to take, or a close frame.
        self._sendable = False
        #: The app was asked to answer the handshake.
        self._asked = False
        #: Nothing more is read.
        self._over = False
        #: The bytes that arrived after the session ended.
        self._late = 0
        self._begun = self._loop.time()
        self._keepalive = Keepalive(self._begun)
        #: When the session ended, or the close frame was sent.
        self._ended: float | None = None

    # ---- the transport ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; uvicorn calls this when the head of a handshake has arrived."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's own is no asyncio.Transport
        self._writer.transport = self._transport
        self._connection.attach(self._transport, self._check_deadlines)
        self._server.connections.add(self)  # type: ignore[arg-type]

    def connection_lost(self, exc: Exception | None) -> None:
        """End, and report it to the app."""
        self._end()
        self._server.connections.discard(self)
        self._handshake.disconnected()
        self._connection.closed()

    def _end(self) -> None:
        """Read and write nothing more."""
        self._over = self._writer.closed = True
        self._reader.clear()
        self._detach()

    def _detach(self, *, left: bool = False) -> None:
        app, self._app = self._app, None
        if app is not None:
            app.disconnected(left=left)

    def _close_transport(self) -> None:
        self._end()
        self._transport.close()

    def eof_received(self) -> None:
        """The client sends nothing more, so it has left; the loop closes the transport."""

    def pause_writing(self) -> None:
        """Stop sending: the client does not read fast enough."""
        self._writer.writable = False

    def resume_writing(self) -> None:
        """Go on sending."""
        self._writer.resume()
        if self._sendable:
            self._flush()

    def data_received(self, data: bytes) -> None:
        """Take some bytes from the client."""
        self._keepalive.active = True
        if self._over:
            return
        self._reader.feed(data)
        if not self._scheduled:
            self._handle()

    # ---- reading ---------------------------------------------------------------------------------------------------

    def _handle(self) -> None:
        """Handle a few frames now, and the others after all other clients had a turn."""
        self._scheduled, self._handling = False, True
        left = _FRAMES
        while self._reader.unread > 0 and not self._over and not self._must_wait():
            if left == 0:
                self._scheduled = True
                self._loop.call_soon(self._handle)
                break
            event = self._reader.next()
            if event is None:
                break
            self._handle_event(event)
            left -= 1
        self._handling = False
        self._check_parser()
        self._check_buffered()
        self._read(wanted=self._reader.unread < _BEHIND and not self._over)
        if self._sendable:
            self._flush()

    def _must_wait(self) -> bool:
        """Return whether nothing can be handled yet: the app has not answered the handshake, or is behind."""
        if self._app is None:
            return self._asked and not self._writer.closed
        return self._app.full

    def _check_parser(self) -> None:
        """Close if the client violated the protocol. The parser has sent the reason, and reads nothing more."""
        error = self._parser.parser_exc
        if error is not None:
            if not isinstance(error, EOFError):
                _failures.warn("closed a WebSocket: the client violated the protocol (%s)", type(error).__name__)
            self._close_transport()
        elif self._parser.handshake_exc is not None and not self._asked and not self._over:
            self.reject(400, (), b"This is no handshake of a WebSocket.")

    def _check_buffered(self) -> None:
        """Close if the clients of this address keep too many messages incomplete."""
        if self._over:  # the connection may be closed, and must not be counted again
            return
        if not self._connection.may_buffer(self._reader.buffered):
            _failures.warn("closed a WebSocket: its address has too many incomplete messages")
            self.close(CloseFrame(_POLICY, "Too many long messages of this address are incomplete."))
            self._over = True
            self._reader.clear()

    def _read(self, *, wanted: bool) -> None:
        if wanted != self._reading and not self._transport.is_closing():
            self._reading = wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _handle_event(self, event: ReadEvent) -> None:
        if event == "closed":
            received = self._parser.close_rcvd
            self._detach(left=received is not None and received.code in LEFT)
            self._close_transport()
        elif isinstance(event, Request):
            self._answer(self._parser.accept(event), event)
        else:
            size, message = event
            if self._ended is not None:
                self._drop(size)
            elif self._app is not None and self._app.charge(size) and message is not None:
                self._receive(self._app, message)

    def _receive(self, app: WebSocketApp, message: str | bytes | CloseFrame) -> None:
        if isinstance(message, CloseFrame):
            _failures.warn("closed a WebSocket: the client sent an invalid message (%s)", message.reason)
            self.close(message)
        elif (close_frame := app.receive(message)) is not None:
            self.close(close_frame)

    def _drop(self, size: int) -> None:
        """Drop a frame that arrives after the end. Stop reading if the client goes on as if nothing had ended."""
        self._late += _LATE_FRAME + size
        if self._late > _LATE_BYTES:
            self._over = True
            self._reader.clear()

    # ---- the handshake ---------------------------------------------------------------------------------------------

    def _answer(self, response: Response, request: Request) -> None:
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            self._asked = True
            self._handshake.begin(self._transport, request, response, self._server.tasks)
        else:
            self.reject(response.status_code, response.headers.raw_items(), bytes(response.body or b""))

    def accept(self, response: Response, app: WebSocketApp) -> None:
        """Accept the handshake, and pass messages to the app from now on."""
        if self._writer.closed:
            app.disconnected()
            return
        self._writer.accept(response)
        self._app = app
        app.on_sendable, app.on_drained = self._on_sendable, self._go_on
        self._go_on()
        self._on_sendable()

    def reject(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        """Refuse the handshake with an HTTP response, and close."""
        if self._writer.closed:
            return
        _refusals.warn("refused the handshake of a WebSocket: %d %s", status, HTTPStatus(status).phrase)
        self._writer.reject(status, headers, body)
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
        """Send what the app has, as far as the client reads; at the end, send the close frame."""
        app = self._app
        if app is None or self._writer.closed:
            return
        if self._writer.writable:
            self._send_all(app)
        if (close_frame := app.close_frame) is not None:
            if self._ended is None:
                self._ended = self._loop.time()
            if self._writer.writable:
                self.close(close_frame)

    def _send_all(self, app: WebSocketApp) -> None:
        self._sendable = False
        self._writer.send(app.take())

    def close(self, close_frame: CloseFrame) -> None:
        """Send a close frame. The transport is closed when the client has answered it, or after a while."""
        if not self._writer.can_close:
            return
        if self._app is not None and self._writer.writable:
            self._send_all(self._app)
        self._writer.close(close_frame)
        self._ended = self._ended or self._loop.time()
        self._detach()

    # ---- time ------------------------------------------------------------------------------------------------------

    def _check_deadlines(self, now: float) -> None:
        """Called once a second."""
        if self._ended is not None:
            if now >= self._ended + self._connection.limits.close_seconds:
                self._transport.abort()
        elif self._parser.state is State.CONNECTING:
            if now >= self._begun + _HANDSHAKE_SECONDS:
                self._transport.abort()
        else:
            match self._keepalive.check(now, reading=self._reading, writable=self._writer.writable):
                case "lost":
                    _failures.warn("closed a WebSocket: the client does not answer pings")
                    self._transport.abort()
                case "ping":
                    self._writer.ping()
                case None:
                    pass

    def shutdown(self) -> None:
        """Close because the server ends."""
        self.close(CloseFrame(_RESTART))
        self._close_transport()
