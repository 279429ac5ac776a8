"""Talk and listen in many sessions at once, each sending a frame of silence every 20 ms.

`audio_load.py PID SESSIONS SECONDS PATH PORT …`: PID is the server's, whose CPU time is taken. The path is that of a
WebSocket, or `/start` of our server, where a session is started for each client and asked to speak. With several
ports, clients take turns among them.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from itertools import cycle, islice
from typing import cast

from load import BINARY, REQUEST, field, frame
from measure import LOADING, cpu_seconds_of, pin, waited_seconds_of
from messages import READY, call

FRAME_SECONDS = 0.020
#: At first, audio comes fast: a TTS makes audio ahead until it is told to wait.
_WARM_SECONDS = 1.5
#: How long to wait for a peer, which cannot report that it is ready.
_SETTLE_SECONDS = 0.5
#: How many clients connect at the same time.
_AT_ONCE = 10
#: The share of the frames that are due. A server that sends less is too slow.
_KEPT_UP = 0.95
#: uvloop counts in milliseconds, and does not sleep for less.
_TICK_SECONDS = 0.001
#: The first byte of a published transport's frame that carries audio: field 2, with a length.
_AUDIO = b"\x12"
#: The first bytes of a close frame and a ping, and an answer to the latter.
_CLOSE, _PING, _PONG = 0x88, 0x89, b"\x8a\x80" + bytes(4)


def user_audio() -> bytes:
    """20 ms of silence at 16 kHz as the published transport sends them: audio, its rate, one channel."""
    rate = bytes((4 << 3, 0x80 | 16_000 & 0x7F, 16_000 >> 7))
    return frame(field(2, field(3, bytes(640)) + rate + bytes((5 << 3, 1))), BINARY)


def text(message: str) -> bytes:
    """An RTVI message as the published transport sends it."""
    return frame(field(4, field(1, message.encode())), BINARY)


class Caller(asyncio.Protocol):
    """A client: when each frame of the bot's audio arrived."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.upgraded: asyncio.Future[None] = loop.create_future()
        self.answered: asyncio.Future[None] = loop.create_future()
        self.arrived: list[float] = []
        #: Why the connection was closed, if it was.
        self.lost = ""
        self.transport: asyncio.Transport
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own is none

    def data_received(self, data: bytes) -> None:
        now, buffer = time.perf_counter(), self._buffer + data
        if not self.upgraded.done():
            head, end, buffer = buffer.partition(b"\r\n\r\n")
            if not end:
                self._buffer = head
                return
            if b" 101 " not in head:
                self._fail(f"the server refused a handshake: {(head + end + buffer).decode(errors='replace')}")
                return
            self.upgraded.set_result(None)
        self._buffer = buffer[self._take(buffer, now) :]

    def _take(self, buffer: bytes, now: float) -> int:
        """Receive all complete frames. Return where the rest begins."""
        at = 0
        while len(buffer) - at >= 2:
            length, begins = buffer[at + 1], at + 2
            if length == 126:
                length, begins = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
            if len(buffer) < begins + length:
                break
            self._take_frame(buffer[at], buffer[begins : begins + length], now)
            at = begins + length
        return at

    def _take_frame(self, kind: int, payload: bytes, now: float) -> None:
        if kind == _PING:  # a server gives up a client that is silent while others connect, unless it answers
            self.transport.write(_PONG)
        elif kind == _CLOSE:
            self._fail(f"the server closed a connection: {payload!r}")
        elif payload[:1] == _AUDIO:
            self.arrived.append(now)
        elif not self.answered.done():
            self.answered.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"a connection was lost: {exc}")

    def _fail(self, why: str) -> None:
        self.lost = self.lost or why
        for each in (self.upgraded, self.answered):
            if not each.done():
                each.set_exception(ConnectionError(why))
                each.exception()


# ---- connecting ----------------------------------------------------------------------------------------------------


def _started(port: int) -> str:
    """Return the address of a new session."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/start", data=b"{}", method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return f"/ws?token={json.load(answer)['token']}"


async def _caller(port: int, path: str) -> Caller:
    where = await asyncio.to_thread(_started, port) if path == "/start" else path
    transport, caller = await asyncio.get_running_loop().create_connection(Caller, "127.0.0.1", port)
    transport.write(REQUEST.format(path=where, port=port).encode())
    await caller.upgraded
    if path == "/start":
        transport.write(text(READY))
        await caller.answered
        transport.write(text(call("llm", "run", {})))
    return caller


async def _callers(ports: Sequence[int], path: str, count: int) -> list[Caller]:
    callers: list[Caller] = []
    chosen = list(islice(cycle(ports), count))
    for at in range(0, count, _AT_ONCE):
        callers += await asyncio.gather(*(_caller(port, path) for port in chosen[at : at + _AT_ONCE]))
    await asyncio.sleep(_SETTLE_SECONDS)
    return callers


# ---- speaking ------------------------------------------------------------------------------------------------------


class Speaking:
    """Sends a frame for each of the clients every 20 ms, one client after the other, evenly."""

    def __init__(self, callers: Sequence[Caller]) -> None:
        self.sent = 0
        self._callers = callers

    async def run(self) -> None:
        callers, audio, step = cycle(self._callers), user_audio(), FRAME_SECONDS / len(self._callers)
        due = time.perf_counter()
        while True:
            while due <= time.perf_counter():
                next(callers).transport.write(audio)
                self.sent += 1
                due += step
            await asyncio.sleep(max(_TICK_SECONDS, due - time.perf_counter()))


# ---- judging -------------------------------------------------------------------------------------------------------


def _delays(arrived: Sequence[float]) -> Iterator[float]:
    """Return the delay of each frame. The most punctual frame of the same second shows when it was due."""
    a_second = round(1 / FRAME_SECONDS)
    for begin in range(0, len(arrived), a_second):
        slips = [when - number * FRAME_SECONDS for number, when in enumerate(arrived[begin : begin + a_second])]
        earliest = min(slips)
        yield from (slip - earliest for slip in slips)


def _judged(callers: Sequence[Caller], seconds: float) -> dict[str, float]:
    """Return how many frames came, and which share of the expected frames came in time."""
    delays = sorted(delay for each in callers for delay in _delays(each.arrived))
    due, punctual = len(callers) * seconds / FRAME_SECONDS, sum(delay <= FRAME_SECONDS for delay in delays)
    return {
        "received": len(delays),
        "late": max(0.0, 1 - punctual / due),
        "late_p99_ms": delays[len(delays) * 99 // 100] * 1e3 if delays else math.inf,
        "silent": sum(not each.arrived for each in callers),
    }


async def main(pid: int, count: int, seconds: float, path: str, ports: Sequence[int]) -> dict[str, float]:
    callers = await _callers(ports, path, count)
    speaking = Speaking(callers)
    task = asyncio.ensure_future(speaking.run())
    await asyncio.sleep(_WARM_SECONDS)
    for each in callers:
        each.arrived.clear()
    sent, cpu, waited, began = speaking.sent, cpu_seconds_of(pid), waited_seconds_of(pid), time.perf_counter()
    await asyncio.sleep(seconds)
    took = time.perf_counter() - began
    sent, cpu, waited = speaking.sent - sent, cpu_seconds_of(pid) - cpu, waited_seconds_of(pid) - waited
    task.cancel()
    if lost := [each.lost for each in callers if each.lost]:
        raise ConnectionError(f"{len(lost)} connections were closed; the first: {lost[0]}")
    judged = _judged(callers, took)
    found = {**judged, "sent": sent, "core": cpu / took, "waited": waited / took}
    if judged["received"] < _KEPT_UP * sent:  # then nobody knows how much was done in that time
        return found
    return {**found, "us": cpu / (sent + judged["received"]) * 2e6}


if __name__ == "__main__":
    pin(LOADING)
    asyncio_or_uvloop = import_module("uvloop" if find_spec("uvloop") else "asyncio")
    _, pid, count, seconds, path, *ports = sys.argv
    found = asyncio_or_uvloop.run(main(int(pid), int(count), float(seconds), path, [int(each) for each in ports]))
    print(json.dumps(found))
