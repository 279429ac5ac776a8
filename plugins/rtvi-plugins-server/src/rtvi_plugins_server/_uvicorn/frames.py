"""Read a client's WebSocket frames as messages, and write those of the server (RFC 6455, section 5).

Almost every frame of a client is a whole message that has arrived completely. Such frames are read here. The parser of
`websockets`, which takes several times as long, reads all others: fragments, control frames, and anything invalid.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from .._websocket_session import CloseFrame

try:
    from websockets.speedups import apply_mask
except ImportError:  # without its C extension
    from websockets.utils import apply_mask

__all__ = ("FrameReader", "ReadEvent", "server_frame")

#: The most fragments of a message. Clients that split messages do so by kilobytes.
_FRAGMENTS: Final = 128
#: The first byte of a frame that is a whole message.
_TEXT, _BINARY = 0x81, 0x82
_MASKED: Final = 0x80
#: Lengths of a payload that mean that the real length follows, in so many bytes.
_TWO_BYTES, _EIGHT_BYTES = 126, 127
_HEAD_END: Final = b"\r\n\r\n"
_INVALID_DATA, _POLICY = 1007, 1008

#: What `FrameReader.next` returns: the request of the handshake, the client's close, or the size of a frame and the
#: message that is complete with it. That is None if none is, and a `CloseFrame` if the message is not allowed.
ReadEvent: TypeAlias = Request | Literal["closed"] | tuple[int, str | bytes | CloseFrame | None]


class FrameReader:
    """Reads the bytes from a client, one frame at a time.

    `parser` reads the handshake and unusual frames. `answer` is called with what it answers by itself.
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

    @property
    def unread(self) -> int:
        """Return the number of bytes that wait to be read."""
        return len(self._data) - self._at

    @property
    def buffered(self) -> int:
        """Return the number of bytes of incomplete messages."""
        return self.unread + self._frame_parsed + self._fragments_size

    def feed(self, data: bytes) -> None:
        """Add bytes from the client."""
        self._data = self._data[self._at :] + data if self.unread else data
        self._at = 0

    def clear(self) -> None:
        """Drop what was not read."""
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
        self._parser.receive_data(self._data[self._at : self._at + size])
        self._at += size
        self._frame_parsed = self._frame_parsed + size if self._frame_left else 0
        events = self._parser.events_received()  # one at most
        self._answer(self._parser.data_to_send())
        for event in events:
            if isinstance(event, Request):
                return event
            if isinstance(event, Frame):
                return "closed" if event.opcode is Opcode.CLOSE else (len(event.data), self._joined(event))
        return None

    def _size_to_parse(self) -> int:
        """Return how many bytes the parser may be given, so that it never reads into the next frame."""
        if self._parser.state is State.CONNECTING:
            found = self._data.find(_HEAD_END, self._at)
            return self.unread if found < 0 else found + len(_HEAD_END) - self._at
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
        if len(self._fragments) > _FRAGMENTS:
            return CloseFrame(_POLICY, f"A message has at most {_FRAGMENTS} fragments.")
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
