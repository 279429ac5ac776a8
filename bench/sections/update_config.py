"""Change ten options at once: check them, set them, and return the whole config."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from typing import Any

import peers
from measure import cpu_us
from messages import message
from peers.environments import named
from table import Rounds, Row, ahead_of, times_floor

TARGET, AHEAD = 4.0, 3.0


def _texts() -> list[str]:
    """Return two updates that undo each other. An update without a change would be no work."""
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
            return str((await connection.outgoing())[0])

        return await _measured(answer)


async def _peer(environment: str) -> dict[str, float]:
    return await _measured(await peers.offered(environment, "update_config")())


async def _measured(answer: Callable[[str], Awaitable[str]]) -> dict[str, float]:
    for text in _texts():
        sent = json.loads(text)["data"]["config"]
        told = json.loads(await answer(text))["data"]
        assert told["config"] == sent, told
    return {"us": await cpu_us(_run(answer))}


def _of_peer(environment: str) -> Callable[[], dict[str, float]]:
    return lambda: peers.run(_peer(environment))


PEERS = named("pipecat060")
CASES: dict[str, Callable[[], dict[str, float]]] = {
    "floor": lambda: asyncio.run(_floor()),
    "ours": lambda: asyncio.run(_ours()),
    **{name: _of_peer(environment) for name, environment in PEERS.items()},
}
#: What `--against` compares, by case.
COMPARED = {"ours": ["us"]}


def rows(rounds: Rounds) -> list[Row]:
    return [
        times_floor(rounds, "ten options", "ours", target=TARGET),
        *(ahead_of(rounds, peer, peer[0], "ours", "floor", "ten options, ", AHEAD) for peer in PEERS.items()),
    ]
