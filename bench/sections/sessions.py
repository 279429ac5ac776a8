"""Start sessions with three services, and hold a thousand of them."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import peers
from measure import resident_kb
from peers import Start
from peers.environments import named
from table import Rounds, Row, middle, of_peer, over, ratio

START_US, IDLE_KB = 250.0, 26.0
_COUNT = 1_000
_WARM = 20

Opening = Callable[[], AbstractAsyncContextManager[Start]]


@asynccontextmanager
async def _services_alone() -> AsyncGenerator[Start]:
    """Open what a session opens, and nothing else."""
    from bots import Quiet, configure, quiet_llm, quiet_stt, quiet_tts

    async def start() -> AsyncExitStack:
        stack = AsyncExitStack()
        for provider in (quiet_stt, quiet_llm, quiet_tts):
            opened: Quiet = await stack.enter_async_context(provider())
            configure(opened)
        return stack

    yield start


@asynccontextmanager
async def _sessions() -> AsyncGenerator[Start]:
    from bots import assistant, host_of, start

    async with host_of(assistant) as host:
        yield lambda: start(host)


async def _ours(opening: Opening) -> dict[str, float]:
    async with opening() as start:
        return await _measured(start)


async def _peer(environment: str) -> dict[str, float]:
    return await _measured(await peers.offered(environment, "sessions")())


async def _measured(start: Start) -> dict[str, float]:
    held = [await start() for _ in range(_WARM)]
    await _settle()
    weighed, began = resident_kb(), time.process_time()
    held.extend([await start() for _ in range(_COUNT)])
    took = time.process_time() - began
    await _settle()
    return {
        "us": took / _COUNT * 1e6,
        "kb": (resident_kb() - weighed) / _COUNT,
        "tasks": (len(asyncio.all_tasks()) - 1) / len(held),
        "collection_ms": _collection_ms(),
    }


async def _settle() -> None:
    """Let every task run until it waits, and collect the garbage."""
    for _ in range(20):
        await asyncio.sleep(0)
    gc.collect()


def _collection_ms() -> float:
    return statistics.median(_collected_ms() for _ in range(5))


def _collected_ms() -> float:
    began = time.process_time()
    gc.collect()
    return (time.process_time() - began) * 1e3


def _case(opening: Opening) -> Callable[[], dict[str, float]]:
    return lambda: asyncio.run(_ours(opening))


def _of_peer(environment: str) -> Callable[[], dict[str, float]]:
    return lambda: peers.run(_peer(environment))


PEERS = named("pipecat060", "pipecat_latest", "fastmcp", "livekit")
CASES: dict[str, Callable[[], dict[str, float]]] = {
    "services alone": _case(_services_alone),
    "ours": _case(_sessions),
    **{name: _of_peer(environment) for name, environment in PEERS.items()},
}
#: What `--against` compares, by case.
COMPARED = {"ours": ["us", "kb"]}


def rows(rounds: Rounds) -> list[Row]:
    alone = f"{middle(rounds, 'ours', 'us'):.0f} µs, services alone {middle(rounds, 'services alone', 'us'):.0f} µs"
    return [
        Row(
            "start, over opening its services",
            over(rounds, "ours", "services alone", "us"),
            "µs",
            START_US,
            detail=alone,
        ),
        Row("memory of an idle session", middle(rounds, "ours", "kb"), "kB", IDLE_KB),
        Row("tasks of an idle session", middle(rounds, "ours", "tasks"), "tasks"),
        Row(f"a full collection with {_COUNT} of them", middle(rounds, "ours", "collection_ms"), "ms"),
        *(row for name, environment in PEERS.items() for row in _peer_rows(rounds, name, environment)),
    ]


def _peer_rows(rounds: Rounds, name: str, environment: str) -> list[Row]:
    took, held = middle(rounds, name, "us"), middle(rounds, name, "kb")
    tasks, collection = middle(rounds, name, "tasks"), middle(rounds, name, "collection_ms")
    weighs = f"{held:.0f} kB, {tasks:.0f} tasks, a full collection {collection:,.0f} ms"
    return [
        of_peer(environment, row)
        for row in (
            Row(f"start, ahead of {name}", ratio(rounds, name, "ours", "us"), "x", detail=f"{took:,.0f} µs"),
            Row(f"memory, ahead of {name}", ratio(rounds, name, "ours", "kb"), "x", detail=weighs),
        )
    ]
