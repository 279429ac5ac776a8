"""Change ten options at once: checked, set, and the whole config told back."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from typing import Any

from measure import cpu_us
from messages import message
from table import Rounds, Row, times_floor

TARGET = 4.0


def _texts() -> list[str]:
    """Two updates that undo each other, for one that changes nothing would be no work."""
    return [
        message(
            "update-config",
            {
                "config": [
                    {
                        "service": "llm",
                        "options": [{"name": f"option{number}", "value": f"{word} {number}"} for number in range(10)],
                    }
                ],
                "interrupt": False,
            },
        )
        for word in ("value", "other value")
    ]


def _run(answer: Callable[[str], Awaitable[Any]]) -> Callable[[int], Awaitable[None]]:
    async def repeat(count: int) -> None:
        for text in itertools.islice(itertools.cycle(_texts()), count):
            await answer(text)

    return repeat


async def _floor() -> dict[str, float]:
    from bots import TEN
    from floor import Config

    return {"us": await cpu_us(_run(Config("llm", TEN).update))}


async def _ours() -> dict[str, float]:
    from bots import connected, tunable

    async with connected(tunable) as connection:

        async def answer(text: str) -> str:
            connection.receive(text)
            return (await connection.outgoing())[0]

        for text in _texts():
            sent = json.loads(text)["data"]["config"]
            told = json.loads(await answer(text))["data"]
            assert told["config"] == sent, told
        return {"us": await cpu_us(_run(answer))}


CASES: dict[str, Callable[[], dict[str, float]]] = {
    "floor": lambda: asyncio.run(_floor()),
    "ours": lambda: asyncio.run(_ours()),
}


def rows(rounds: Rounds) -> list[Row]:
    return [times_floor(rounds, "ten options", "ours", target=TARGET)]
