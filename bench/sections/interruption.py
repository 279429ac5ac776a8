"""Bots that speak are interrupted: until the last frame is sent, and until the turn is closed."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from messages import call
from table import Rounds, Row, middle

if TYPE_CHECKING:
    from rtvi_plugins.hosting import Connection

#: Milliseconds to the last frame, p99, and to the end of the turn, p50.
TARGET_LAST, TARGET_CLOSED = 20.0, 0.5
_TIMES = 6


class _Heard:
    """What one client is sent, and when the last frame of audio came."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.last = 0.0
        self.spoken = asyncio.Event()

    async def listen(self) -> None:
        while batch := await self.connection.outgoing():
            if any(not isinstance(each, str) for each in batch):
                self.last = time.perf_counter()
                self.spoken.set()

    async def interrupt(self) -> tuple[float, float]:
        """Milliseconds to the last frame after an interruption, and to the end of the turn."""
        began = time.perf_counter()
        self.connection.receive(call("tts", "interrupt", {}, "1"))
        await self.connection.idle()
        closed = time.perf_counter()
        await asyncio.sleep(0.1)
        return max(0.0, self.last - began) * 1e3, (closed - began) * 1e3


async def _measured(sessions: int) -> dict[str, float]:
    from voices import host, start

    last: list[float] = []
    closed: list[float] = []
    async with host() as found:
        heard = [_Heard(await start(found, 30.0)) for _ in range(sessions)]
        tasks = [asyncio.ensure_future(each.listen()) for each in heard]
        for _ in range(max(_TIMES, 30 // sessions)):
            for each in heard:
                each.spoken.clear()
                each.connection.receive(call("llm", "run", {}, "2"))
            await asyncio.gather(*(each.spoken.wait() for each in heard))
            await asyncio.sleep(0.25)
            for each in heard:  # one after the other, as people do, while all the others speak
                found_last, found_closed = await each.interrupt() if each is heard[0] else await _at_once(each)
                last.append(found_last)
                closed.append(found_closed)
        for each in heard:
            each.connection.disconnected()
        await asyncio.gather(*tasks)
    ordered = sorted(last)
    return {
        "last_p50": statistics.median(ordered),
        "last_p99": ordered[len(ordered) * 99 // 100],
        "closed": statistics.median(closed),
    }


async def _at_once(heard: _Heard) -> tuple[float, float]:
    began = time.perf_counter()
    heard.connection.receive(call("tts", "interrupt", {}, "1"))
    await heard.connection.idle()
    closed = time.perf_counter()
    await asyncio.sleep(0.022)  # longer than a frame: whatever was to come has come
    return max(0.0, heard.last - began) * 1e3, (closed - began) * 1e3


def _run(sessions: int) -> dict[str, float]:
    return asyncio.run(_measured(sessions))


CASES: dict[str, Callable[[], dict[str, float]]] = {
    f"{sessions} sessions": partial(_run, sessions) for sessions in (1, 50)
}


def rows(rounds: Rounds) -> list[Row]:
    told = [
        Row(
            f"{case}: to the last frame, p99",
            middle(rounds, case, "last_p99"),
            "ms",
            TARGET_LAST,
            detail=f"p50 {middle(rounds, case, 'last_p50'):.3f} ms",
        )
        for case in CASES
    ]
    closed = [
        Row(f"{case}: to the end of the turn, p50", middle(rounds, case, "closed"), "ms", TARGET_CLOSED)
        for case in CASES
    ]
    return told + closed
