"""The parts of HTTP and WebSockets that an attacker needs. Standard library only."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

__all__ = ("Socket", "connect", "frame", "handshake", "message", "post", "start")

TEXT, BINARY, CONTINUATION, PING = 0x1, 0x2, 0x0, 0x9
_KEY = "AAAAAAAAAAAAAAAAAAAAAA=="


def frame(payload: bytes = b"", kind: int = TEXT, *, final: bool = True) -> bytes:
    """A frame of a client. Its mask is all zeros, which leaves the payload as it is."""
    size = len(payload)
    if size < 126:
        length = bytes((128 | size,))
    elif size < 65_536:
        length = bytes((128 | 126,)) + size.to_bytes(2, "big")
    else:
        length = bytes((128 | 127,)) + size.to_bytes(8, "big")
    return bytes((kind | (0x80 if final else 0),)) + length + bytes(4) + payload


def message(type: str, data: object, id: str = "1") -> bytes:
    """The frame of an RTVI message."""
    sent = {"label": "rtvi-ai", "type": type, "id": id, "data": data}
    return frame(json.dumps(sent, separators=(",", ":")).encode())


def handshake(path: str, *more: str) -> bytes:
    """The request that opens a WebSocket."""
    lines = (
        f"GET {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {_KEY}",
        *more,
    )
    return "\r\n".join((*lines, "", "")).encode()


class Socket:
    """A TCP connection. `read` receives data. `flood` sends, and reads only if it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def until(self, wanted: bytes) -> bytes:
        """Return everything up to this text."""
        found = b""
        while wanted not in found:
            more = await self.reader.read(65_536)
            if not more:
                raise ConnectionError(f"closed before {wanted!r}: {found[:200]!r}")
            found += more
        return found

    async def drop(self) -> None:
        """Receive data and discard it."""
        with suppress(OSError):
            while await self.reader.read(65_536):
                pass

    async def flood(self, data: bytes, *, pause: float = 0.0) -> None:
        """Send the same until the connection is lost."""
        with suppress(OSError):
            while not self.writer.is_closing():
                self.writer.write(data)
                await self.writer.drain()
                await asyncio.sleep(pause)

    def close(self) -> None:
        with suppress(OSError):
            self.writer.transport.abort()


async def connect(port: int, address: str = "127.0.0.1", *, buffer: int | None = None) -> Socket:
    """A connection from one of this machine's loopback addresses."""
    made = socket.socket()
    made.setblocking(False)
    if buffer is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    made.bind((address, 0))
    await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Socket(*await asyncio.open_connection(sock=made))


async def post(port: int, path: str, body: bytes, address: str = "127.0.0.1") -> tuple[int, bytes]:
    """The status and the body of the answer to a POST."""
    made = await connect(port, address)
    try:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        made.writer.write(head.encode() + body)
        answer = await made.reader.read(-1)
    finally:
        made.close()
    status, _, rest = answer.partition(b"\r\n")
    return int(status.split()[1]), rest.partition(b"\r\n\r\n")[2]


async def start(port: int, address: str = "127.0.0.1", *, buffer: int | None = None, binary: bool = False) -> Socket:
    """A session whose bot is ready."""
    status, body = await post(port, "/start", b"{}", address)
    if status != 200:
        raise ConnectionError(f"the start was refused: {status} {body[:200]!r}")
    made = await connect(port, address, buffer=buffer)
    made.writer.write(handshake(f"/ws?token={json.loads(body)['token']}"))
    await made.until(b"\r\n\r\n")
    ready = message("client-ready", {"version": "2.1.0"}, "ready")
    made.writer.write(as_protobuf(ready) if binary else ready)
    await made.until(b"bot-ready")
    return made


def field(number: int, value: bytes) -> bytes:
    """A protobuf field that has a length."""
    length, left = b"", len(value)
    while left > 127:
        length, left = length + bytes((left & 127 | 128,)), left >> 7
    return bytes((number << 3 | 2,)) + length + bytes((left,)) + value


def _number(number: int, value: int) -> bytes:
    found = bytes((number << 3,))
    while value > 127:
        found, value = found + bytes((value & 127 | 128,)), value >> 7
    return found + bytes((value,))


def as_protobuf(text: bytes) -> bytes:
    """A text frame that is shorter than 126 bytes, as the frame of the published transport."""
    return frame(field(4, field(1, text[6:])), BINARY)


def audio(pcm: bytes, rate: int = 16_000) -> bytes:
    """A frame of audio as the published transport sends it."""
    return frame(field(2, field(3, pcm) + _number(4, rate) + _number(5, 1)), BINARY)


async def at_once(count: int, make: Callable[[], Awaitable[Socket]]) -> list[Socket]:
    """As many connections as can be made of these, one after the other."""
    made: list[Socket] = []
    for _ in range(count):
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(2):
                made.append(await make())
    return made
