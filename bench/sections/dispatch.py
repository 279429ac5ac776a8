"""A validated action in this process, one after the other: a JSON text in, its answer's JSON text out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import peers
from measure import cpu_us
from messages import SAY, TEXT
from table import Rounds, Row, times_floor

TARGET = 4.5


def run(answer: Callable[[str], Awaitable[Any]], text: str = SAY) -> Callable[[int], Awaitable[None]]:
    """Have the same text answered again and again."""

    async def repeat(count: int) -> None:
        for _ in range(count):
            await answer(text)

    return repeat


async def _floor() -> dict[str, float]:
    import floor

    return {"us": await cpu_us(run(floor.dispatch))}


async def _ours() -> dict[str, float]:
    from bots import connected, speaker

    async with connected(speaker) as connection:

        async def answer(text: str) -> Sequence[str]:
            connection.receive(text)
            return await connection.outgoing()

        (told,) = await answer(SAY)
        assert json.loads(told)["data"] == {"result": TEXT}, told
        return {"us": await cpu_us(run(answer))}


async def _peer(name: str) -> dict[str, float]:
    async with peers.DISPATCH[name]() as answer:
        return {"us": await cpu_us(run(answer))}


def _uvloop() -> dict[str, float]:
    import uvloop

    return uvloop.run(_ours())


def _of_peer(name: str) -> Callable[[], dict[str, float]]:
    return lambda: asyncio.run(_peer(name))


PEERS = {name: environment for name, environment in peers.ENVIRONMENTS.items() if name in peers.DISPATCH}
CASES: dict[str, Callable[[], dict[str, float]]] = {
    "floor": lambda: asyncio.run(_floor()),
    "ours": lambda: asyncio.run(_ours()),
    "ours, uvloop": _uvloop,
    **{name: _of_peer(name) for name in PEERS},
}


def rows(rounds: Rounds) -> list[Row]:
    return [
        times_floor(rounds, "one action", "ours", target=TARGET),
        times_floor(rounds, "one action, on uvloop", "ours, uvloop"),
        *(times_floor(rounds, name, name) for name in PEERS if any(name in each for each in rounds)),
    ]
