"""A validated action in this process, one after the other: a JSON text in, its answer's JSON text out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import peers
from measure import cpu_us
from messages import SAY, TEXT
from peers.environments import named
from table import Rounds, Row, ahead_of, times_floor

TARGET = 4.5
#: The target ratio to a peer.
AHEAD = {"pipecat060": 4.0, "pipecat_latest": 35.0, "fastmcp": 65.0}


def run(answer: Callable[[str], Awaitable[Any]], text: str = SAY) -> Callable[[int], Awaitable[None]]:
    """Answer the same text many times."""

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

        async def answer(text: str) -> Sequence[Any]:
            connection.receive(text)
            return await connection.outgoing()

        (told,) = await answer(SAY)
        assert json.loads(told)["data"] == {"result": TEXT}, told
        return {"us": await cpu_us(run(answer))}


async def _peer(environment: str) -> dict[str, float]:
    text, answer = await peers.offered(environment, "dispatch")()
    told = await answer(text)
    assert TEXT in told, told
    return {"us": await cpu_us(run(answer, text))}


def _uvloop() -> dict[str, float]:
    import uvloop

    return uvloop.run(_ours())


def _of_peer(environment: str) -> Callable[[], dict[str, float]]:
    return lambda: peers.run(_peer(environment))


PEERS = named("pipecat060", "pipecat0108", "pipecat_latest", "fastmcp", "livekit", "fastapi")
CASES: dict[str, Callable[[], dict[str, float]]] = {
    "floor": lambda: asyncio.run(_floor()),
    "ours": lambda: asyncio.run(_ours()),
    "ours, uvloop": _uvloop,
    **{name: _of_peer(environment) for name, environment in PEERS.items()},
}
#: What `--against` compares, by case.
COMPARED = {"ours": ["us"], "ours, uvloop": ["us"]}


def rows(rounds: Rounds) -> list[Row]:
    return [
        times_floor(rounds, "one action", "ours", target=TARGET),
        times_floor(rounds, "one action, on uvloop", "ours, uvloop"),
        *(
            ahead_of(rounds, peer, peer[0], "ours", "floor", what="one action, ", target=AHEAD.get(peer[1]))
            for peer in PEERS.items()
        ),
    ]
