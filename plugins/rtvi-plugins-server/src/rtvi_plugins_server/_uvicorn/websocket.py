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
from typing import Any, Final, Literal

from websockets.server import ServerProtocol

from rtvi_plugins.security import LogThrottle

from .._websocket_session import LEFT, CloseFrame, WebSocketApp
from .connections import TrackedConnection
from .frames import FrameReader, FrameWriter, ReadEvent
from .small_reads import READ_BYTES

__all__ = ("WebSocket",)

log = logging.getLogger("rtvi_plugins.server")
_failures = LogThrottle(log)

#: How many frames are handled in one turn of the loop.
_FRAMES: Final = 20
#: Reading pauses when this many bytes wait to be handled.
_BEHIND: Final = 4 * READ_BYTES
#: What a client may still send after its session has ended, in bytes, and how many bytes each frame adds to that.
_LATE_BYTES, _LATE_FRAME = 262_144, 1_024
#: How many bytes of a frame that is too long are still received, and for how many seconds. A client that is cut off
#: while it sends shows a broken connection, and not the close code.
_REST_BYTES: Final = 16 * 1_048_576
_REST_SECONDS: Final = 30.0
#: A silent client is sent a ping after the first time, and disconnected if it sends nothing in the second.
_PING_SECONDS, _PONG_SECONDS = 20.0, 20.0
_POLICY, _RESTART = 1008, 1012


class WebSocket(asyncio.Protocol):
    """The protocol of one connection, from the answer to its handshake on."""

    def __init__(
        self,
        parser: ServerProtocol,
        transport: asyncio.Transport,
        connection: TrackedConnection,
        connections: set[Any],
        app: WebSocketApp,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        #: The connections that uvicorn closes at the end.
        self._connections = connections
        self._connection = connection
        self._parser = parser
        self._transport = transport
        self._writer = FrameWriter(parser, transport, connection)
        self._reader = FrameReader(parser, self._writer.answer)
        self._app: WebSocketApp | None = app
        #: Made by `until_detached`, which few connections see.
        self._detached: asyncio.Event | None = None
        self._reading = True
        self._handling = self._scheduled = False
        #: Something incomplete was counted, or reading is paused: `_check` must see when this is over.
        self._unchecked = True
        #: The app has something to take, or a close frame.
        self._sendable = False
        #: Nothing more is read.
        self._over = False
        #: The bytes that arrived after the session ended.
        self._late = 0
        #: How many bytes are still to be received, and dropped, of a frame that is not allowed.
        self._rest = 0
        self._keepalive = Keepalive(self._loop.time())
        #: When the session ended, or the close frame was sent.
        self._ended: float | None = None

    # ---- the transport ---------------------------------------------------------------------------------------------

    def begin(self, early: bytes) -> None:
        """Pass messages to the app from now on. `early` was received before; after a lot, the transport is paused."""
        assert self._app is not None
        self._app.on_sendable = self._on_sendable
        self._connections.add(self)
        self._connection.attach(self._transport, self._check_deadlines)
        self._reading = len(early) <= READ_BYTES
        self.data_received(early)
        self._on_sendable()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        self._connections.discard(self)
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
            if self._detached is not None:
                self._detached.set()

    async def until_detached(self) -> None:
        """Wait until the app has nothing more to send. One task may call it, at the end of the server."""
        if self._app is not None:
            self._detached = asyncio.Event()
            await self._detached.wait()

    def _close_transport(self) -> None:
        self._end()
        self._transport.close()

    def pause_writing(self) -> None:
        self._writer.writable = False

    def resume_writing(self) -> None:
        self._writer.resume()
        if self._sendable:
            self._flush()

    def data_received(self, data: bytes) -> None:
        self._keepalive.active = True
        if self._rest > 0:
            self._drop_rest(len(data))
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
        while self._reader.unread > 0 and not self._over:
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
        # After whole messages alone, which is almost always, there is nothing to check.
        if self._over or self._unchecked or not self._reader.is_clean:
            self._check()
        if self._sendable:
            self._flush()

    def _check(self) -> None:
        """Check what has arrived beside whole messages, and read on unless too much of it waits."""
        self._check_parser()
        self._check_buffered()
        self._read(wanted=self._rest > 0 or (self._reader.unread < _BEHIND and not self._over))
        self._unchecked = self._reader.buffered > 0 or not self._reading
        self._reader.parsed = False

    def _check_parser(self) -> None:
        """Close if the client violated the protocol. The parser has sent the reason, and reads nothing more."""
        error = self._parser.parser_exc
        if error is None or self._rest > 0:
            return
        if not isinstance(error, EOFError):
            _failures.warn("closed a WebSocket: the client violated the protocol (%s)", type(error).__name__)
            self._rest = min(self._reader.frame_left, _REST_BYTES)
        if self._rest > 0:
            self._ended = self._ended or self._loop.time()
            self._end()
        else:
            self._close_transport()

    def _drop_rest(self, size: int) -> None:
        """Drop what arrives of a frame that is not allowed, and close when all of it has arrived."""
        self._rest -= size
        if self._rest <= 0:
            self._transport.close()

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
        """Drop a frame that arrives after the end. Stop reading if the client continues as if nothing had ended."""
        self._late += _LATE_FRAME + size
        if self._late > _LATE_BYTES:
            self._over = True
            self._reader.clear()

    # ---- writing ---------------------------------------------------------------------------------------------------

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
            if now >= self._ended + (_REST_SECONDS if self._rest > 0 else self._connection.limits.close_seconds):
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
        self.close(CloseFrame(_RESTART))
        self._close_transport()


class Keepalive:
    """The times to send a ping and to disconnect."""

    def __init__(self, now: float) -> None:
        #: Set when anything arrives from the client.
        self.active = True
        self._silent_since = now
        #: When the ping was sent that the client has not answered.
        self._pinged_at: float | None = None

    def check(self, now: float, *, reading: bool, writable: bool) -> Literal["ping", "lost"] | None:
        """Return what to do now. Call it about once a second.

        While the server is not `reading`, it would not see a pong, so the client is not disconnected. If the process
        itself was stopped for a while, the client is sent a ping first.
        """
        if self.active:
            self.active = False
            self._silent_since, self._pinged_at = now, None
        elif self._pinged_at is not None and reading:
            return "lost" if now >= self._pinged_at + _PONG_SECONDS else None
        elif now >= self._silent_since + _PING_SECONDS and writable:
            self._silent_since, self._pinged_at = now, now if reading else None
            return "ping"
        return None
