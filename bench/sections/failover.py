"""What a `Failover` adds to a typed turn without a failure, and how soon the next provider answers after one."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from measure import cpu_us
from messages import message
from table import Rounds, Row, middle, of_rounds, over

#: The share of a turn's CPU time that it may add without a failure, and the milliseconds to the next provider's answer.
TARGET, TARGET_MS = 0.03, 5.0
_TURNS = 50
#: Only clients of today's protocol are sent the end of a turn.
_READY = message("client-ready", {"version": "2.1.0", "about": {"library": "bench"}}, "ready again")
_TEXT = message("send-text", {"content": "go", "options": {}})


async def _turn(connection: Any) -> str:
    """Hold a turn, and return its answer."""
    connection.session.context.replace([])  # so that each turn is as long as the first
    connection.receive(_TEXT)
    answer = ""
    while True:
        for text in await connection.outgoing():
            if '"bot-llm-text"' in text:
                answer = text
            if '"bot-turn-ended"' in text:
                return answer


async def _well(failover: bool) -> dict[str, float]:
    from bots import connected, first_alone, first_or_second, vendors

    async with connected(first_or_second if failover else first_alone, vendors(fails=False)) as connection:
        connection.receive(_READY)

        async def repeat(count: int) -> None:
            for _ in range(count):
                assert "first" in await _turn(connection)

        return {"us": await cpu_us(repeat)}


async def _failing() -> dict[str, float]:
    """The wall time of a turn in which the first provider fails at once, and in the first of them the next opens."""
    from bots import connected, first_or_second, vendors

    took: list[float] = []
    async with connected(first_or_second, vendors(fails=True)) as connection:
        connection.receive(_READY)
        for _ in range(_TURNS):
            began = time.perf_counter()
            assert "second" in await _turn(connection)
            took.append(time.perf_counter() - began)
    return {"first_ms": took[0] * 1e3, "ms": statistics.median(took[1:]) * 1e3}


def _run(case: Callable[[], Any]) -> dict[str, float]:
    return asyncio.run(case())


CASES: dict[str, Callable[[], dict[str, float]]] = {
    "alone": partial(_run, partial(_well, failover=False)),
    "ours": partial(_run, partial(_well, failover=True)),
    "failing": partial(_run, _failing),
}


def rows(rounds: Rounds) -> list[Row]:
    added = of_rounds(rounds, lambda cases: cases["ours"]["us"] / cases["alone"]["us"] - 1)
    detail = f"{over(rounds, 'ours', 'alone', 'us'):.1f} µs of {middle(rounds, 'alone', 'us'):.0f} µs"
    first = f"the first of them, which opens it: {middle(rounds, 'failing', 'first_ms'):.2f} ms"
    return [
        Row("added to a turn while all is well", added, "of it", TARGET, detail=detail),
        Row(
            "a turn in which the next provider answers", middle(rounds, "failing", "ms"), "ms", TARGET_MS, detail=first
        ),
    ]
