"""Describe a bot's actions, however many there are, against a description that is merely spliced in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence

import peers
from measure import cpu_us
from messages import DESCRIBE
from peers.environments import named
from table import Rounds, Row, ahead_of, times_floor

from sections.dispatch import run

TARGET = 2.0
COUNTS = (10, 100, 1_000)
_PEERS = named("pipecat060", "fastmcp")


async def _measured(count: int, *, floor: bool) -> dict[str, float]:
    from bots import connected, crowd
    from floor import Described

    found, module = crowd(count)
    async with connected(found, module) as connection:

        async def answer(text: str) -> Sequence[str]:
            connection.receive(text)
            return await connection.outgoing()

        (told,) = await answer(DESCRIBE)
        data = json.loads(told)["data"]
        assert len(data["actions"]) == count, told[:200]
        # The floor tells the same description, so that both carry as many bytes.
        return {"us": await cpu_us(run(Described(data).answer if floor else answer, DESCRIBE))}


async def _peer(environment: str, count: int) -> dict[str, float]:
    return {"us": await cpu_us(run(await peers.offered(environment, "describe")(count), DESCRIBE))}


def _case(count: int, *, floor: bool) -> Callable[[], dict[str, float]]:
    return lambda: asyncio.run(_measured(count, floor=floor))


def _of_peer(environment: str, count: int) -> Callable[[], dict[str, float]]:
    return lambda: peers.run(_peer(environment, count))


PEERS = {f"{name} {count}": environment for count in COUNTS for name, environment in _PEERS.items()}
CASES: dict[str, Callable[[], dict[str, float]]] = {
    **{f"{who} {count}": _case(count, floor=who == "floor") for count in COUNTS for who in ("floor", "ours")},
    **{f"{name} {count}": _of_peer(each, count) for count in COUNTS for name, each in _PEERS.items()},
}


def rows(rounds: Rounds) -> list[Row]:
    return [row for count in COUNTS for row in _rows(rounds, count)]


def _rows(rounds: Rounds, count: int) -> list[Row]:
    what, ours, floor = f"{count:,} actions", f"ours {count}", f"floor {count}"
    return [
        times_floor(rounds, what, ours, floor, target=TARGET),
        *(ahead_of(rounds, peer, f"{peer[0]} {count}", ours, floor, what=f"{what}, ") for peer in _PEERS.items()),
    ]
