"""Read the WebSocket frames of a client as messages, and write those of the server (RFC 6455, section 5).

Almost every frame of a client is a whole message that has arrived completely. Such frames are read here. The parser of
`websockets`, which takes several times as long, reads all others: fragments, control frames, and anything invalid.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias

from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from .._websocket_session import CloseFrame
from .connections import TrackedConnection

try:
    from websockets.speedups import apply_mask
except ImportError:  # without its C extension
    from websockets.utils import apply_mask

__all__ = ("MOST_FRAGMENTS", "FrameReader", "FrameWriter", "ReadEvent")

#: The most fragments of a message. Clients that split messages do so by kilobytes.
MOST_FRAGMENTS: Final = 128
#: The first byte of a frame that is a whole message.
_TEXT, _BINARY = 0x81, 0x82
_MASKED: Final = 0x80
#: Lengths of a payload that mean that the real length follows, and in how many bytes.
_TWO_BYTES, _EIGHT_BYTES = 126, 127
_PING, _PONG = b"\x89\x00", b"\x8a"
#: The most bytes of a close frame's reason.
_REASON: Final = 123
_INVALID_DATA, _POLICY = 1007, 1008

#: What `FrameReader.next` returns: the client's close, or the size of a frame and the message that is complete with it.
#: That is None if none is, and a `CloseFrame` if the message is not allowed.
ReadEvent: TypeAlias = Literal["closed"] | tuple[int, str | bytes | CloseFrame | None]


class FrameReader:
    """Reads the bytes from a client, one frame at a time.

    `parser` reads unusual frames. `answer` is called with what it answers by itself.
    """

    def __init__(self, parser: ServerProtocol, answer: Callable[[Sequence[bytes]], None]) -> None:
        self._parser = parser
        self._answer = answer
        #: What has arrived, and the position up to which it is read.
        self._data, self._at = b"", 0
        #: How many bytes are still to come of the frame that the parser has begun.
        self._frame_left = 0
        #: How many bytes of that frame the parser has.
        self._frame_parsed = 0
        self._fragments: list[bytes] = []
        self._fragments_size = 0
        self._is_text = False
        #: The parser has read something. Whoever checks what came of it sets this to False.
        self.parsed = False

    @property
    def is_clean(self) -> bool:
        """Return whether all that has arrived were whole messages, which the parser has not seen."""
        return not self.parsed and self._at == len(self._data)

    @property
    def unread(self) -> int:
        return len(self._data) - self._at

    @property
    def frame_left(self) -> int:
        """Return how many bytes are still to come of the frame that has begun to arrive."""
        return self._frame_left

    @property
    def buffered(self) -> int:
        """Return the number of bytes of incomplete messages."""
        return self.unread + self._frame_parsed + self._fragments_size

    def feed(self, data: bytes) -> None:
        self._data = self._data[self._at :] + data if self.unread else data
        self._at = 0

    def clear(self) -> None:
        self._data, self._at = b"", 0

    def next(self) -> ReadEvent | None:
        """Read the next frame. None if more bytes must arrive first, or the parser has failed."""
        if not self._frame_left and not self._fragments and self._parser.state is State.OPEN:
            event = self._read_whole_message()
            if event is not None:
                return event
        return self._parse()

    # ---- whole messages --------------------------------------------------------------------------------------------

    def _read_whole_message(self) -> ReadEvent | None:
        """Read a frame that is a whole message of less than 64 KiB. None for any other, and if a part is missing."""
        data, at = self._data, self._at
        if len(data) < at + 8 or data[at] not in (_TEXT, _BINARY) or not data[at + 1] & _MASKED:
            return None
        length, begin = data[at + 1] & ~_MASKED, at + 6
        if length == _TWO_BYTES:
            length, begin = data[at + 2] << 8 | data[at + 3], at + 8
        end = begin + length
        if length == _EIGHT_BYTES or end > len(data):
            return None
        self._at = end
        payload = apply_mask(data[begin:end], data[begin - 4 : begin])
        return length, _text(payload) if data[at] == _TEXT else payload

    # ---- all other frames ------------------------------------------------------------------------------------------

    def _parse(self) -> ReadEvent | None:
        """Give the parser the rest of a frame, or what has arrived of it."""
        size = self._size_to_parse()
        if not size:
            return None
        self.parsed = True
        self._parser.receive_data(self._data[self._at : self._at + size])
        self._at += size
        self._frame_parsed = self._frame_parsed + size if self._frame_left else 0
        events = self._parser.events_received()  # one at most
        self._answer(self._parser.data_to_send())
        for event in events:
            if isinstance(event, Frame):
                return "closed" if event.opcode is Opcode.CLOSE else (len(event.data), self._joined(event))
        return None

    def _size_to_parse(self) -> int:
        """Return how many bytes the parser may be given, so that it never reads into the next frame."""
        self._frame_left = self._frame_left or _frame_size(self._data, self._at)
        size = min(self.unread, self._frame_left)
        self._frame_left -= size
        return size

    def _joined(self, frame: Frame) -> str | bytes | CloseFrame | None:
        """Return the message that is complete with this frame, if one is."""
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return None
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
        self._fragments.append(bytes(frame.data))
        self._fragments_size += len(frame.data)
        if frame.fin:
            data, self._fragments, self._fragments_size = b"".join(self._fragments), [], 0
            return _text(data) if self._is_text else data
        if len(self._fragments) > MOST_FRAGMENTS:
            return CloseFrame(_POLICY, f"A message has at most {MOST_FRAGMENTS} fragments.")
        return None


def _frame_size(data: bytes, at: int) -> int:
    """Return the size of the frame that begins at this position; 0 while its header has not arrived."""
    if len(data) < at + 2:
        return 0
    length = data[at + 1] & ~_MASKED
    header = 2 + (4 if data[at + 1] & _MASKED else 0)
    if length == _TWO_BYTES:
        return header + 2 + int.from_bytes(data[at + 2 : at + 4], "big") if len(data) >= at + 4 else 0
    if length == _EIGHT_BYTES:
        return header + 8 + int.from_bytes(data[at + 2 : at + 10], "big") if len(data) >= at + 10 else 0
    return header + length


def _text(payload: bytes) -> str | CloseFrame:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return CloseFrame(_INVALID_DATA, "A text frame must be UTF-8.")


def server_frame(message: str | bytes) -> bytes:
    """Return the frame of a message from the server, which has no mask."""
    first, payload = (_TEXT, message.encode()) if isinstance(message, str) else (_BINARY, message)
    size = len(payload)
    if size < _TWO_BYTES:
        return bytes((first, size)) + payload
    if size < 65_536:
        return struct.pack("!BBH", first, _TWO_BYTES, size) + payload
    return struct.pack("!BBQ", first, _EIGHT_BYTES, size) + payload


class FrameWriter:
    """Writes to the client of a WebSocket."""

    def __init__(self, parser: ServerProtocol, transport: asyncio.Transport, connection: TrackedConnection) -> None:
        #: Whether the client reads fast enough to be sent more.
        self.writable = True
        #: A close frame was sent. Nothing more is sent.
        self.closed = False
        self._parser = parser
        self._transport = transport
        self._connection = connection
        #: The last pong, as long as it cannot be sent.
        self._pong = b""

    def resume(self) -> None:
        self.writable = True
        self._send_pong()

    def answer(self, writes: Sequence[bytes]) -> None:
        """Send what the parser answers by itself: of pongs the last, and a close frame."""
        for each in writes:
            if each[:1] == _PONG:
                self._pong = each
            elif each and not self.closed:
                self.closed = True
                self._transport.write(each)
        self._send_pong()

    def _send_pong(self) -> None:
        # asyncio logs each write to a lost client, and a client may have sent very many pings.
        if self._pong and self.writable and not (self.closed or self._transport.is_closing()):
            pong, self._pong = self._pong, b""
            self._transport.write(pong)

    def ping(self) -> None:
        self._transport.write(_PING)

    def send(self, messages: Sequence[str | bytes]) -> None:
        if messages:
            frames = [server_frame(message) for message in messages]
            data = frames[0] if len(frames) == 1 else b"".join(frames)
            self._connection.wrote(len(data))
            self._transport.write(data)

    @property
    def can_close(self) -> bool:
        """Return whether a close frame can be sent: neither side has closed."""
        return not self.closed and self._parser.state is State.OPEN

    def close(self, close_frame: CloseFrame) -> None:
        self._parser.send_close(close_frame.code, close_frame.reason.encode()[:_REASON].decode(errors="ignore"))
        self._transport.write(b"".join(self._parser.data_to_send()))
        self.closed = True
