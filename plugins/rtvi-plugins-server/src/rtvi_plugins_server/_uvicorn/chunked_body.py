"""Find the end of an HTTP body with chunked encoding (RFC 9112, section 7.1)."""

from __future__ import annotations

import re
from typing import Final

__all__ = ("ChunkedBody",)

_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")
#: The longest line that announces a chunk.
_LINE_BYTES: Final = 256
#: How many lines are read at once. A body of very short chunks takes a hundred times as long as others of its size.
_LINES: Final = 64


class ChunkedBody:
    """Finds where a chunked body ends. It keeps no data, because uvicorn's parser reads the same bytes."""

    def __init__(self) -> None:
        self.ended = False
        #: The part of a line that has arrived.
        self._line = b""
        #: The bytes of a chunk that are still to come, with the line end after them.
        self._left = 0
        #: The last chunk has arrived, but the empty line after it has not.
        self._last = False

    def feed(self, data: bytes) -> int:
        """Read some of these bytes, all if there are few chunks, and return how many. Raise `ValueError` if invalid.

        Bytes after the end of the body are not read.
        """
        at = lines = 0
        while at < len(data) and lines < _LINES and not self.ended:
            if self._left:
                skipped = min(self._left, len(data) - at)
                self._left -= skipped
                at += skipped
            else:
                at = self._feed_line(data, at)
                lines += 1
        return at

    def _feed_line(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at) + 1 or len(data)
        self._line += data[at:end]
        if len(self._line) > _LINE_BYTES:
            raise ValueError("a line of the chunked body is too long")
        if self._line.endswith(b"\n"):
            self._read_line(self._line)
            self._line = b""
        return end

    def _read_line(self, line: bytes) -> None:
        if self._last:
            if line != b"\r\n":
                raise ValueError("trailers after a chunked body are not accepted")
            self.ended = True
            return
        found = _SIZE_LINE.fullmatch(line[:-2]) if line.endswith(b"\r\n") else None
        if found is None:
            raise ValueError("a chunk does not begin with its size")
        size = int(found[1], 16)
        self._last, self._left = size == 0, size + 2 if size else 0
