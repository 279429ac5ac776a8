"""A fast action that comes right after one which takes 200 ms: how long it waits for its answer."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence

from messages import call
from table import Rounds, Row, middle

TARGET = 1.0
SLOW = {"behind a coroutine": "wait", "behind a plain function": "block"}
_TIMES = 15


async def _waited(slow: str, seconds: float) -> dict[str, float]:
    from bots import connected, desk

    async with connected(desk) as connection:
        waited: list[float] = []
        for number in range(_TIMES):
            connection.receive(call("bot", slow, {"seconds": seconds}, f"slow-{number}"))
            began = time.perf_counter()
            connection.receive(call("bot", "echo", {"text": "quick"}, f"fast-{number}"))
            assert f"fast-{number}" in (await connection.outgoing())[0]
            waited.append((time.perf_counter() - began) * 1e3)
            answers: Sequence[str] = await connection.outgoing()
            assert f"slow-{number}" in answers[0]
        return {"ms": statistics.median(waited), "longest": max(waited)}


def _case(slow: str) -> Callable[[], dict[str, float]]:
    return lambda: asyncio.run(_waited(slow, 0.2))


CASES: dict[str, Callable[[], dict[str, float]]] = {name: _case(slow) for name, slow in SLOW.items()}


def rows(rounds: Rounds) -> list[Row]:
    return [
        Row(name, middle(rounds, name, "ms"), "ms", TARGET, detail=f"longest {middle(rounds, name, 'longest'):.2f} ms")
        for name in SLOW
    ]
