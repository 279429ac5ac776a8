"""Clients that connect to a server process and leave at random moments, in random ways, several at a time."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from statistics import median
from urllib.parse import urlsplit

import httpx2
from attrs import define, evolve, field

from ..tools.gauges import Gauges
from .caller import Caller, calling, start
from .server import Server, let_threads_go, quiet

__all__ = ("Visits", "come_and_go")

#: How many sessions are open at the same time.
AT_ONCE = 8

SAYINGS = ("what time is it", "please tell me a joke", "tell me a story", "what is seven times six")


@define
class Visits:
    """Sessions that were opened and left: how many at each moment and in each way, and what stayed open."""

    moments: Counter[str] = field(factory=Counter[str])
    ways: Counter[str] = field(factory=Counter[str])
    #: At rest after each block of them, in KiB.
    memory: list[int] = field(factory=list[int])
    left: dict[str, int] = field(factory=dict[str, int])

    @property
    def grown(self) -> float:
        """Return the growth of memory in KiB from the first half of the pauses to the second."""
        half = len(self.memory) // 2
        return median(self.memory[half:]) - median(self.memory[:half])


async def come_and_go(server: Server, sessions: int, seed: int, before: Gauges) -> Visits:
    """Open this many sessions, some at the same time, and leave each at a random moment."""
    visits, anything = Visits(), evolve(before, threads=sys.maxsize)
    blocks = min(10, max(2, sessions // 25))
    for block in range(blocks):
        numbers = iter(range(sessions * block // blocks, sessions * (block + 1) // blocks))
        async with server.client() as http, asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(_visit_one_by_one(http, numbers, seed, visits))
        visits.memory.append((await quiet(server, anything)).memory_kib)
    await let_threads_go(server)
    visits.left = (await quiet(server, before)).more_than(before)
    return visits


async def _visit_one_by_one(http: httpx2.AsyncClient, numbers: Iterator[int], seed: int, visits: Visits) -> None:
    for number in numbers:
        rng = random.Random(f"{seed} {number}")
        moment, way = rng.choice([*MOMENTS, *ELSEWHERE]), rng.choice(list(WAYS))
        visits.moments[moment] += 1
        try:
            if moment in ELSEWHERE:
                await ELSEWHERE[moment](http, rng)
            else:
                visits.ways[way] += 1
                await _visit(http, MOMENTS[moment], WAYS[way], rng)
        except Exception as error:
            error.add_note(f"in session {number} of the seed {seed}, which {way} while {moment}")
            raise


async def _visit(
    http: httpx2.AsyncClient,
    come: Callable[[Caller, random.Random], Awaitable[object]],
    go: Callable[[Caller], Awaitable[object]],
    rng: random.Random,
) -> None:
    async with calling(await start(http), aloud=rng.random() < 0.8) as caller:
        await come(caller, rng)
        await go(caller)


async def _nothing_said(caller: Caller, rng: random.Random) -> None:
    await asyncio.sleep(rng.uniform(0.0, 0.1))


async def _ready(caller: Caller, rng: random.Random) -> None:
    await caller.ready()
    await asyncio.sleep(rng.uniform(0.0, 0.1))


async def _speaking(caller: Caller, rng: random.Random) -> None:
    await caller.ready()
    seconds = caller.say(rng.choice(SAYINGS))
    await asyncio.sleep(rng.uniform(0.1, 1.0) * seconds)


async def _recognising(caller: Caller, rng: random.Random) -> None:
    await caller.ready()
    seconds = caller.say(rng.choice(SAYINGS))
    await asyncio.sleep(seconds + rng.uniform(0.4, 0.8))


async def _answering(caller: Caller, rng: random.Random) -> None:
    await caller.ready()
    await caller.write("Tell me a story.")
    await caller.inbox.find("bot-started-speaking")
    await asyncio.sleep(rng.uniform(0.0, 1.0))


async def _interrupting(caller: Caller, rng: random.Random) -> None:
    await _answering(caller, rng)
    await caller.write("Tell me another story.")
    await asyncio.sleep(rng.uniform(0.0, 0.05))


async def _acting(caller: Caller, rng: random.Random) -> None:
    await caller.ready()
    await caller.call(rng.choice(("bot:ponder", "bot:brood")), seconds=rng.uniform(0.2, 2.0))
    await asyncio.sleep(rng.uniform(0.0, 0.5))


async def _never_claimed(http: httpx2.AsyncClient, rng: random.Random) -> None:
    await start(http)
    await asyncio.sleep(rng.uniform(0.0, 0.5))


async def _not_waited_for(http: httpx2.AsyncClient, rng: random.Random) -> None:
    """Close the connection before the start is answered."""
    url = urlsplit(str(http.base_url))
    _, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(f"POST /start HTTP/1.1\r\nhost: {url.netloc}\r\ncontent-length: 2\r\n\r\n{{}}".encode())
    await writer.drain()
    await asyncio.sleep(rng.uniform(0.0, 0.3))
    writer.transport.abort()


async def _ask_to_end(caller: Caller) -> None:
    await caller.send("disconnect-bot")
    await asyncio.sleep(0.05)


async def _vanish(caller: Caller) -> None:
    caller.vanish()


#: When a client that has come leaves.
MOMENTS: Mapping[str, Callable[[Caller, random.Random], Awaitable[object]]] = {
    "nothing said": _nothing_said,
    "ready": _ready,
    "speaking": _speaking,
    "recognising": _recognising,
    "answering": _answering,
    "interrupting": _interrupting,
    "acting": _acting,
}
#: Clients that never come.
ELSEWHERE: Mapping[str, Callable[[httpx2.AsyncClient, random.Random], Awaitable[object]]] = {
    "never claimed": _never_claimed,
    "start not waited for": _not_waited_for,
}
#: How a client leaves.
WAYS: Mapping[str, Callable[[Caller], Awaitable[object]]] = {
    "closes": Caller.hang_up,
    "vanishes": _vanish,
    "asks to end": _ask_to_end,
}
