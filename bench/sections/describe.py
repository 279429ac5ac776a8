"""Describe a bot's actions, however many there are, against a description that is merely spliced in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence

from measure import cpu_us
from messages import message
from table import Rounds, Row, times_floor

from sections.dispatch import run

TARGET = 2.0
COUNTS = (10, 100, 1_000)
_ASK = message("describe-actions", {})


async def _measured(count: int, *, floor: bool) -> dict[str, float]:
    from bots import connected, crowd
    from floor import Described

    found, module = crowd(count)
    async with connected(found, module) as connection:

        async def answer(text: str) -> Sequence[str]:
            connection.receive(text)
            return await connection.outgoing()

        (told,) = await answer(_ASK)
        data = json.loads(told)["data"]
        assert len(data["actions"]) == count, told[:200]
        # The floor tells the same description, so that both carry as many bytes.
        return {"us": await cpu_us(run(Described(data).answer if floor else answer, _ASK))}


def _case(count: int, *, floor: bool) -> Callable[[], dict[str, float]]:
    return lambda: asyncio.run(_measured(count, floor=floor))


CASES: dict[str, Callable[[], dict[str, float]]] = {
    f"{who} {count}": _case(count, floor=who == "floor") for count in COUNTS for who in ("floor", "ours")
}


def rows(rounds: Rounds) -> list[Row]:
    return [
        times_floor(rounds, f"{count} actions", f"ours {count}", f"floor {count}", target=TARGET) for count in COUNTS
    ]
