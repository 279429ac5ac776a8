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
    from voices import Heard

#: Milliseconds to the last frame, p99, and to the end of the turn, p50.
TARGET_LAST, TARGET_CLOSED = 20.0, 0.5
_TIMES = 6


async def _measured(sessions: int) -> dict[str, float]:
    from voices import Heard, host, start

    last: list[float] = []
    closed: list[float] = []
    async with host() as found:
        heard = [Heard(await start(found, 30.0)) for _ in range(sessions)]
        tasks = [asyncio.ensure_future(each.listen()) for each in heard]
        for _ in range(max(_TIMES, 30 // sessions)):
            audible = [each.wait_for_audio() for each in heard]
            for each in heard:
                each.connection.receive(call("llm", "run", {}, "2"))
            for each in audible:
                await each.wait()
            await asyncio.sleep(0.25)
            for each in heard:  # one after the other, as people do, while all the others speak
                found_last, found_closed = await _interrupt(each)
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


async def _interrupt(heard: Heard) -> tuple[float, float]:
    """Milliseconds to the last frame after an interruption, and to the end of the turn."""
    began = time.perf_counter()
    heard.connection.receive(call("tts", "interrupt", {}, "1"))
    await heard.connection.idle()
    closed = time.perf_counter()
    await asyncio.sleep(0.05)  # longer than two frames: whatever was to come has come
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
