"""Send actions over WebSockets, so many in flight on each, as fast as answers come.

`load.py PORT PATHS IN_FLIGHT SECONDS WIRE`, with commas between the paths, where the wire is one of `WIRES`. It stays
on a core of its own, or on any core with the argument `free`. It has only the parts of WebSockets that it needs,
because a library would be slower than the server that it measures.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import cast

from measure import LOADING, pin
from messages import READY, TEXT, call, client_message

REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
_IDS = 4_096
_WARM_SECONDS = 0.5
#: How long to wait for a peer with a new client, because it cannot report that it is ready.
_SETTLE_SECONDS = 0.3
_TEXT, BINARY = b"\x81", b"\x82"


def frame(payload: bytes, kind: bytes = _TEXT) -> bytes:
    """A frame of a client. Its mask is all zeros, which leaves the payload as it is."""
    short = len(payload) < 126
    length = bytes((128 | len(payload),)) if short else bytes((128 | 126,)) + len(payload).to_bytes(2, "big")
    return kind + length + bytes(4) + payload


def _action(id: str, name: str = "say") -> bytes:
    return frame(call("tts", name, {"text": TEXT, "interrupt": False}, id).encode())


def _protobuf(id: str) -> bytes:
    """A client's message as pipecat's serializer has it: text in field 1 of a message that is field 4 of a frame."""
    return frame(field(4, field(1, client_message(id).encode())), BINARY)


def field(number: int, value: bytes) -> bytes:
    """A field with a length, of less than 16,384 bytes."""
    long = len(value) > 127
    length = bytes((len(value) & 127 | 128, len(value) >> 7)) if long else bytes((len(value),))
    return bytes((number << 3 | 2,)) + length + value


#: How an action is sent. The wires of `GREETING` say first that the client is ready, and wait for the bot to be.
WIRES: dict[str, Callable[[str], bytes]] = {
    "rtvi": _action,
    "repeatable": partial(_action, name="repeat"),
    "action": _action,
    "protobuf": _protobuf,
}
GREETING = ("rtvi", "repeatable")


class Load(asyncio.Protocol):
    """The client's side of the connection."""

    def __init__(self, in_flight: int, wire: str) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        self.answered = 0
        self.waited: list[float] = []
        self._in_flight = in_flight
        self._greets = wire in GREETING
        self._frames = [WIRES[wire](f"@{i:08}@") for i in range(_IDS)]
        self._sent = [0.0] * _IDS
        self._next = 0
        self._buffer = b""
        self._upgraded = self._ready = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is none

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._upgraded:
            head, end, self._buffer = self._buffer.partition(b"\r\n\r\n")
            if not end:
                self._buffer = head
                return
            if b" 101 " not in head:
                raise ConnectionError(head.decode())
            self._upgraded = True
            self._greet()
        answers = self._frames_received()
        if not self._ready and answers and self._greets:
            self._begin()
        elif self._ready and answers:
            self._send(answers)

    def _greet(self) -> None:
        if self._greets:
            self._transport.write(frame(READY.encode()))
        else:
            asyncio.get_running_loop().call_later(_SETTLE_SECONDS, self._begin)

    def _begin(self) -> None:
        self._ready = True
        self._send(self._in_flight)

    def _frames_received(self) -> int:
        """Receive all complete frames, and count them."""
        buffer, at, count, now = self._buffer, 0, 0, time.perf_counter()
        while len(buffer) - at >= 4:
            length, begins = buffer[at + 1], at + 2
            if length == 126:
                length, begins = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
            if len(buffer) < begins + length:
                break
            self._answered(buffer, begins, begins + length, now)
            at, count = begins + length, count + 1
        self._buffer = buffer[at:]
        return count

    def _answered(self, buffer: bytes, begins: int, ends: int, now: float) -> None:
        id = buffer.find(b'"@', begins, ends) + 1
        if not id:
            if self._ready:
                raise ConnectionError(buffer[begins:ends].decode())
            return
        if buffer.find(b"error", begins, ends) >= 0:
            raise ConnectionError(buffer[begins:ends].decode())
        self.waited.append(now - self._sent[int(buffer[id + 1 : id + 9])])
        self.answered += 1

    def _send(self, count: int) -> None:
        now, frames = time.perf_counter(), list[bytes]()
        for _ in range(count):
            frames.append(self._frames[self._next])
            self._sent[self._next] = now
            self._next = (self._next + 1) % _IDS
        self._transport.write(b"".join(frames))

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(None)

    def abort(self) -> None:
        self._transport.abort()


async def main(port: int, paths: Sequence[str], in_flight: int, seconds: float, wire: str) -> dict[str, float]:
    loads = [await _connect(port, path, in_flight, wire) for path in paths]
    ended = [each.ended for each in loads]
    await asyncio.wait(ended, timeout=_SETTLE_SECONDS + _WARM_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    for each in loads:
        each.waited.clear()
    before, began = sum(each.answered for each in loads), time.perf_counter()
    await asyncio.wait(ended, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    took = time.perf_counter() - began
    if any(each.done() for each in ended):
        raise ConnectionError("the server has closed a connection")
    answered, waited = sum(each.answered for each in loads), sorted(took for each in loads for took in each.waited)
    for each in loads:
        each.abort()
    await asyncio.wait(ended)
    return {
        "per_second": (answered - before) / took,
        "p50_us": statistics.median(waited) * 1e6,
        "p99_us": waited[len(waited) * 99 // 100] * 1e6,
        "answered": answered,
        "load_cpu": time.process_time(),
    }


async def _connect(port: int, path: str, in_flight: int, wire: str) -> Load:
    make = partial(Load, in_flight, wire)
    transport, load = await asyncio.get_running_loop().create_connection(make, "127.0.0.1", port)
    transport.write(REQUEST.format(path=path, port=port).encode())
    return load


if __name__ == "__main__":
    _, port, paths, in_flight, seconds, wire, *free = sys.argv
    if not free:
        pin(LOADING)
    asyncio_or_uvloop = import_module("uvloop" if find_spec("uvloop") else "asyncio")
    loading = main(int(port), paths.split(","), int(in_flight), float(seconds), wire)
    print(json.dumps(asyncio_or_uvloop.run(loading)))
