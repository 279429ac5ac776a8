"""From the end of the user's speech to the first audio of the answer: what the loop adds to its providers' delays."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from functools import partial

from table import Rounds, Row, middle

#: Milliseconds over the sum of the providers' own delays.
TARGET_P50, TARGET_P99 = 5.0, 15.0
_TURNS = 40


async def _floor() -> dict[str, float]:
    """The same delays, one after the other, and nothing else."""
    from voices import LLM_SECONDS, STT_SECONDS, TTS_SECONDS

    took: list[float] = []
    for _ in range(_TURNS):
        began = time.perf_counter()
        for seconds in (STT_SECONDS, LLM_SECONDS, TTS_SECONDS):
            await asyncio.sleep(seconds)
        took.append(time.perf_counter() - began)
    return _told(took)


async def _ours() -> dict[str, float]:
    from voices import LOUD, SILENT, Heard, host, start

    took: list[float] = []
    async with host() as found:
        heard = Heard(connection := await start(found, 0.2))
        task = asyncio.ensure_future(heard.listen())
        for _ in range(_TURNS):
            began, audible = time.perf_counter(), heard.wait_for_audio()
            # Speech, and immediately the silence that ends the turn. The rest of the time is waiting, and the loop.
            for frame in (*[LOUD] * 10, *[SILENT] * 6):
                connection.receive_audio(frame)
            await audible.wait()
            took.append(heard.first - began)
            await connection.idle()
        connection.disconnected()
        await task
    return _told(took)


def _told(took: list[float]) -> dict[str, float]:
    ordered = sorted(took)
    return {"p50_ms": statistics.median(ordered) * 1e3, "p99_ms": ordered[len(ordered) * 99 // 100] * 1e3}


def _run(case: Callable[[], object]) -> dict[str, float]:
    return asyncio.run(case())  # type: ignore[arg-type]


CASES: dict[str, Callable[[], dict[str, float]]] = {"floor": partial(_run, _floor), "ours": partial(_run, _ours)}


def rows(rounds: Rounds) -> list[Row]:
    from voices import DELAYS

    return [
        Row(
            f"over its providers' {DELAYS * 1e3:.0f} ms, {key[:3]}",
            middle(rounds, "ours", key) - DELAYS * 1e3,
            "ms",
            target,
            detail=f"the delays alone: {middle(rounds, 'floor', key) - DELAYS * 1e3:.2f} ms",
        )
        for key, target in (("p50_ms", TARGET_P50), ("p99_ms", TARGET_P99))
    ]
