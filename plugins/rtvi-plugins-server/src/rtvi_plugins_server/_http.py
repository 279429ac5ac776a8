"""HTTP requests before uvicorn sees them: the size and the time of their heads and bodies.

A head is collected here until it is whole, and only then given to uvicorn's parser. So it does not matter which parser
that is, and what is refused is answered in the form of all other failures.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Any, Final

import orjson
from uvicorn.protocols.http.h11_impl import H11Protocol

from ._door import Visit
from ._seldom import Seldom

__all__ = ("http_protocol",)

log = logging.getLogger("rtvi_plugins.server")
_refusals = Seldom(log)

_END: Final = b"\r\n\r\n"
_PHRASES: Final = {
    400: (b"Bad Request", "bad-request"),
    408: (b"Request Timeout", "request-timeout"),
    431: (b"Request Header Fields Too Large", "headers-too-large"),
}


class Guard(asyncio.Protocol):
    """Stands in front of a protocol of uvicorn's; a mixin."""

    # uvicorn's own
    transport: Any
    cycle: Any
    ws_protocol_class: Any

    def guard(self, visit: Visit) -> None:
        """Begin with a connection that was accepted."""
        self._visit = visit
        self._bounds = visit.bounds
        self._head = bytearray()
        #: The bytes of the body that are still to come; infinite where only the parser sees its end.
        self._body: float = 0
        self._due = math.inf
        self._over = False
        #: What has taken over, after the handshake of a WebSocket.
        self._socket: Any = None
        self._make_socket = self.ws_protocol_class
        self.ws_protocol_class = self._upgrade

    def _upgrade(self, **given: Any) -> Any:
        self._socket = self._make_socket(**given, visit=self._visit)
        return self._socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._visit.begin(self.transport, self._look)
        self._due = asyncio.get_running_loop().time() + self._bounds.head_seconds

    def connection_lost(self, exc: Exception | None) -> None:
        self._over = True
        super().connection_lost(exc)
        self._visit.end()

    def data_received(self, data: bytes) -> None:
        """Pass on whole heads, and bodies as they come."""
        if self._body == math.inf and self.cycle is not None and not self.cycle.more_body:
            self._body = 0
        while data and not self._over:
            if self._socket is not None:
                self._socket.data_received(data)
                return
            if self._body:
                now, data = (
                    (data, b"") if len(data) <= self._body else (data[: int(self._body)], data[int(self._body) :])
                )
                self._body -= len(now)
                super().data_received(now)
            else:
                data = self._head_received(data)

    def _head_received(self, data: bytes) -> bytes:
        """Take more of a head; return what comes after its end."""
        searched = max(0, len(self._head) - len(_END))
        self._head += data
        end = self._head.find(_END, searched)
        if (len(self._head) if end < 0 else end) > self._bounds.head_bytes:
            return self._refuse(431, f"The head of the request is longer than {self._bounds.head_bytes} bytes.")
        if end < 0:
            return b""
        head, after = bytes(self._head[: end + len(_END)]), bytes(self._head[end + len(_END) :])
        self._head.clear()
        lines = head.lstrip(b"\r\n").split(b"\r\n")[1:-2]
        if len(lines) > self._bounds.head_lines:
            return self._refuse(431, f"The request has more than {self._bounds.head_lines} headers.")
        if max(map(len, (head.partition(b"\r\n")[0], *lines))) > self._bounds.line_bytes:
            return self._refuse(431, f"A line of the request's head is longer than {self._bounds.line_bytes} bytes.")
        self._begin_body(lines)
        if not self._over:
            self._due = asyncio.get_running_loop().time() + self._bounds.body_seconds
            super().data_received(head)
        return after

    def _begin_body(self, lines: list[bytes]) -> None:
        headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
        lengths = [value for name, value in headers if name == b"content-length"]
        encodings = [value for name, value in headers if name == b"transfer-encoding"]
        if encodings and lengths:
            self._refuse(400, "A request carries Content-Length or Transfer-Encoding, not both.")
        elif len(lengths) > 1 or not all(each.isdigit() and len(each) <= 18 for each in lengths):
            self._refuse(400, "A request carries one Content-Length at most, a number.")
        else:
            self._body = math.inf if encodings else int(lengths[0]) if lengths else 0

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "This is no HTTP request.")

    # ---- deadlines and refusals ------------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        if now < self._due or self._over:
            return
        if self.cycle is None:
            self._refuse(408, f"The head of the request did not come within {self._bounds.head_seconds:g} s.")
        elif self.cycle.more_body:
            self._refuse(408, f"The body of the request did not come within {self._bounds.body_seconds:g} s.")
        else:  # it is all there; uvicorn closes a connection on which no other request comes
            self._due = math.inf

    def _refuse(self, status: int, sentence: str) -> bytes:
        """Answer, unless an answer has begun, and close. What comes after it is dropped."""
        self._over = True
        _refusals.warn("refused a request: %s", sentence)
        if self.cycle is None or not self.cycle.response_started:
            self.transport.write(_answer(status, sentence))
        self.transport.close()
        return b""


def _answer(status: int, sentence: str) -> bytes:
    phrase, code = _PHRASES[status]
    body = orjson.dumps(
        {"info": sentence, "detail": sentence, "error": code, "retryable": status == 408, "details": []}
    )
    return b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (
        status,
        phrase,
        len(body),
        body,
    )


class GuardedH11(Guard, H11Protocol):
    pass


def http_protocol() -> type[Guard]:
    """Return uvicorn's protocol behind a guard: the one on httptools where that is installed, or that on h11."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:
        return GuardedH11

    class _GuardedTools(Guard, HttpToolsProtocol):
        pass

    return _GuardedTools
