"""Check HTTP requests before uvicorn's parser reads them: the size of their heads, and how long they take.

A head is collected until it is complete, and only then passed on. So the limits are the same for both of uvicorn's
parsers, and a refusal has the form of all other errors.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
from typing import Any, Final

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol

from rtvi_plugins.errors import Draining, RateLimited
from rtvi_plugins.security import LogThrottle

from .._refusals import refusal_with
from ..starting import BODY_BYTES
from .chunked_body import ChunkedBody
from .connections import TrackedConnection
from .handshake import HandshakeProtocol
from .small_reads import SmallReads

__all__ = ("GuardedH11", "HttpGuard", "guarded_protocol")

log = logging.getLogger("rtvi_plugins.server")
_refusals = LogThrottle(log)

_END: Final = b"\r\n\r\n"
#: A header on its own line, without characters that only some parsers read as the end of a line.
_HEADER: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\r\n\0]*")
_CODES: Final = {
    400: "bad-request",
    408: "request-timeout",
    429: "rate-limited",
    431: "headers-too-large",
    503: "draining",
}
_RETRYABLE: Final = frozenset({408, 429, 503})
#: After how many seconds a client may try again.
_RETRY_AFTER: Final = {429: RateLimited.retry_after, 503: Draining.retry_after}


class _Flow(FlowControl):
    """uvicorn's flow control, which resumes reading whenever an app waits for more of a body."""

    #: Requests wait for their turn, so reading must not resume.
    held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()


class HttpGuard(asyncio.Protocol):
    """A mixin for a protocol of uvicorn.

    The parser gets one request at a time: the next one when the previous one was answered. Little is read at once, so
    that other clients do not wait while many requests of one client are parsed.
    """

    # attributes of uvicorn's protocol
    transport: Any
    cycle: Any
    flow: FlowControl
    ws_protocol_class: Any
    _unset_keepalive_if_required: Any

    def guard(self, connection: TrackedConnection) -> None:
        """Begin with an accepted connection."""
        self._connection = connection
        self._limits = connection.limits
        #: What the parser has not got yet: a part of a head, or requests that wait for their turn.
        self._unparsed = bytearray()
        #: How many bytes were searched for the end of the head.
        self._searched = 0
        #: How many bytes of the body are still to come, or the object that finds its end.
        self._body = 0
        self._chunked: ChunkedBody | None = None
        #: How many bytes of the body have arrived, at most `BODY_BYTES`: of a longer body, the app keeps nothing.
        self._body_arrived = 0
        self._due = math.inf
        #: The request waits because its address sends very many; or it has waited.
        self._delayed = self._has_waited = False
        self._over = False
        #: uvicorn's cycle of the previous request, which was answered.
        self._before: Any = None
        #: The protocol that takes over for the handshake of a WebSocket.
        self._websocket: SmallReads | None = None
        self.ws_protocol_class = self._upgrade

    def _upgrade(self, **given: Any) -> SmallReads:
        self._websocket = SmallReads(HandshakeProtocol(**given, connection=self._connection))
        return self._websocket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.flow = self._flow = _Flow(self.transport)
        self._connection.attach(self.transport, self._check_deadlines)
        self._due = asyncio.get_running_loop().time() + self._limits.head_seconds

    def connection_lost(self, exc: Exception | None) -> None:
        self._over = True
        super().connection_lost(exc)
        self._connection.closed()

    # ---- reading ---------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._unparsed += data
        self._parse()

    def on_response_complete(self) -> None:
        """Continue with the next request, if it has arrived."""
        super().on_response_complete()  # type: ignore[misc]  # of uvicorn's protocol
        self._body_arrived = 0
        self._connection.may_buffer(0)
        if self._unparsed:
            asyncio.get_running_loop().call_soon(self._parse)

    def _parse(self) -> None:
        """Pass on each head when it is complete, and its body as it arrives."""
        while self._unparsed and not (self._over or self._delayed or self.transport.is_closing()):
            if self._websocket is not None:
                self._websocket.data_received(self._take(len(self._unparsed)))
            elif (chunked := self._chunked) is not None:
                self._parse_chunks(chunked)
                if self._unparsed and not (
                    chunked.ended or self._over
                ):  # very many chunks: other connections are served first
                    self._pause()
                    asyncio.get_running_loop().call_soon(self._parse)
                    return
            elif self._body:
                data = self._take(min(len(self._unparsed), self._body))
                self._body -= len(data)
                self._pass_body(data)
            elif self.cycle is not None and not self.cycle.response_complete:
                self._pause()
                return
            elif self._unparsed[:1] in b"\r\n":
                self._unparsed = self._unparsed.lstrip(b"\r\n")  # empty lines before a request
            else:
                self._before = self.cycle
                if (end := self._end_of_head()) < 0:
                    break
                if self._must_wait():
                    return
                self._pass_head(self._take(end))
        if self._flow.held and not self._delayed:
            self._flow.held = False
            self._flow.resume_reading()

    def _pause(self) -> None:
        self._flow.held = True
        self._flow.pause_reading()

    def _must_wait(self) -> bool:
        """Return whether the next request must wait, because its address sends very many."""
        if self._has_waited:
            self._has_waited = False
            return False
        loop = asyncio.get_running_loop()
        delay = self._connection.request_delay(loop.time())
        if delay > 0:
            self._delayed = True
            self._unset_keepalive_if_required()  # the connection is not idle
            self._pause()
            loop.call_later(delay, self._go_on)
        return self._delayed

    def _go_on(self) -> None:
        self._delayed, self._has_waited = False, True
        self._parse()

    def _pass_body(self, data: bytes) -> None:
        self._body_arrived = min(self._body_arrived + len(data), BODY_BYTES)
        if self._connection.may_buffer(self._body_arrived):
            super().data_received(data)
        else:
            self._refuse(429, "The requests of this address are too large; send again later.")

    def _take(self, size: int) -> bytes:
        data = bytes(self._unparsed[:size])
        del self._unparsed[:size]
        return data

    def _parse_chunks(self, chunked: ChunkedBody) -> None:
        try:
            data = self._take(chunked.feed(bytes(self._unparsed)))
        except ValueError as error:
            self._refuse(400, f"The body of the request cannot be read: {error}.")
            return
        if chunked.ended:
            self._chunked = None
        self._pass_body(data)

    def _end_of_head(self) -> int:
        """Return the length of the head; -1 while it is incomplete, or if it is too long."""
        found = self._unparsed.find(_END, max(0, self._searched - len(_END)))
        self._searched = len(self._unparsed)
        if (self._searched if found < 0 else found) > self._limits.head_bytes:
            self._refuse(431, f"The head of the request is longer than {self._limits.head_bytes} bytes.")
            return -1
        if found < 0:
            return -1
        self._searched = 0
        return found + len(_END)

    def _pass_head(self, head: bytes) -> None:
        first, *lines = head.split(b"\r\n")[:-2]
        if len(lines) > self._limits.head_lines:
            self._refuse(431, f"The request has more than {self._limits.head_lines} headers.")
        elif max(map(len, (first, *lines))) > self._limits.line_bytes:
            self._refuse(431, f"A line of the request's head is longer than {self._limits.line_bytes} bytes.")
        elif not first.isascii():
            self._refuse(400, "The path of a request has only ASCII characters; write others as in %C3%A9.")
        elif b"\n" in first or b"\r" in first or not all(map(_HEADER.fullmatch, lines)):
            self._refuse(400, "Each header of a request is one line, with a colon after its name.")
        else:
            self._begin_body(lines)
        if not self._over:
            self._due = asyncio.get_running_loop().time() + self._limits.body_seconds
            super().data_received(head)

    def _begin_body(self, lines: list[bytes]) -> None:
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
        lengths = [value for name, value in headers if name == b"content-length"]
        encodings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
        if encodings and lengths:
            self._refuse(400, "A request carries Content-Length or Transfer-Encoding, not both.")
        elif len(lengths) > 1 or not all(each.isdigit() and len(each) <= 18 for each in lengths):
            self._refuse(400, "A request carries one Content-Length at most, a number.")
        elif encodings not in ([], [b"chunked"]):
            self._refuse(400, "The only Transfer-Encoding that is accepted is chunked.")
        else:
            self._body, self._chunked = int(lengths[0]) if lengths else 0, ChunkedBody() if encodings else None

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "This is not an HTTP request.")

    def shutdown(self) -> None:
        """Close because the server ends: after the response, or now if the request is incomplete."""
        if self.cycle is not None and self.cycle.more_body:
            self._refuse(503, "The server is shutting down.")
        else:
            super().shutdown()  # type: ignore[misc]  # of uvicorn's protocol

    # ---- deadlines and refusals ------------------------------------------------------------------------------------

    def _check_deadlines(self, now: float) -> None:
        if now < self._due or self._over or self._delayed:
            return
        if self.cycle is None:
            self._refuse(408, f"The head of the request did not come within {self._limits.head_seconds:g} s.")
        elif self.cycle.more_body:
            self._refuse(408, f"The body of the request did not come within {self._limits.body_seconds:g} s.")
        else:  # the request is complete; uvicorn itself closes idle connections
            self._due = math.inf

    def _refuse(self, status: int, sentence: str) -> None:
        """Send an error, unless a response has begun, and close. Whatever arrives later is dropped."""
        self._over = True
        _refusals.warn("refused a request: %s", sentence)
        if self.cycle is self._before or not self.cycle.response_started:
            self.transport.write(_response(status, sentence))
        self.transport.close()


def _response(status: int, sentence: str) -> bytes:
    retryable, retry_after = status in _RETRYABLE, _RETRY_AFTER.get(status)
    return refusal_with(status, sentence, _CODES[status], retryable=retryable, retry_after=retry_after)


class GuardedH11(HttpGuard, H11Protocol):
    pass


def guarded_protocol() -> type[HttpGuard]:
    """Return uvicorn's protocol with a guard: the one for httptools if it is installed, else the one for h11."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:
        return GuardedH11

    class GuardedHttpTools(HttpGuard, HttpToolsProtocol):
        pass

    return GuardedHttpTools
