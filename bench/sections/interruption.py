"""Bots that speak are interrupted: until the last frame is sent, and until the turn is closed."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import peers
from messages import call
from peers import Speaker
from peers.environments import named
from table import Rounds, Row, middle, of_peer, ratio

if TYPE_CHECKING:
    from voices import Heard

#: Milliseconds to the last frame, p99, and to the end of the turn, p50.
TARGET_LAST, TARGET_CLOSED = 20.0, 0.5
#: How far ahead of any peer we mean to be.
AHEAD = 4.0
COUNTS = (1, 50)
_TIMES = 6


async def _measured(sessions: int) -> dict[str, float]:
    from voices import Heard, host, start

    last: list[float] = []
    closed: list[float] = []
    async with host() as found:
        heard = [Heard(await start(found, 30.0)) for _ in range(sessions)]
        tasks = [asyncio.ensure_future(each.listen()) for each in heard]
        for _ in range(max(_TIMES, 30 // sessions)):
            audible = [each.wait_for_audio() for each in heard]
            for each in heard:
                each.connection.receive(call("llm", "run", {}, "2"))
            for each in audible:
                await each.wait()
            await asyncio.sleep(0.25)
            for each in heard:  # one after the other, as people do, while all the others speak
                found_last, found_closed = await _interrupt(each)
                last.append(found_last)
                closed.append(found_closed)
        for each in heard:
            each.connection.disconnected()
        await asyncio.gather(*tasks)
    return _told(last, closed)


async def _interrupt(heard: Heard) -> tuple[float, float]:
    """Milliseconds to the last frame after an interruption, and to the end of the turn."""
    began = time.perf_counter()
    heard.connection.receive(call("tts", "interrupt", {}, "1"))
    await heard.connection.idle()
    closed = time.perf_counter()
    await asyncio.sleep(0.05)  # longer than two frames: whatever was to come has come
    return max(0.0, heard.last - began) * 1e3, (closed - began) * 1e3


async def _peer(environment: str, sessions: int) -> dict[str, float]:
    last: list[float] = []
    closed: list[float] = []
    speakers: list[Speaker] = await peers.offered(environment, "speakers")(sessions)
    for _ in range(max(_TIMES, 30 // sessions)):
        for each in speakers:
            await each.speak()
        await asyncio.sleep(0.25)
        for each in speakers:
            began = time.perf_counter()
            await each.interrupt()
            await asyncio.wait_for(each.stopped(), 5)
            await asyncio.sleep(0.05)
            last.append(max(0.0, each.last - began) * 1e3)
            closed.append((each.stopped_at - began) * 1e3)
    return _told(last, closed)


def _told(last: list[float], closed: list[float]) -> dict[str, float]:
    last, closed = sorted(last), sorted(closed)
    return {
        "last_p50": statistics.median(last),
        "last_p99": last[len(last) * 99 // 100],
        "closed": statistics.median(closed),
        "closed_p99": closed[len(closed) * 99 // 100],
    }


def _run(sessions: int) -> dict[str, float]:
    return asyncio.run(_measured(sessions))


def _of_peer(environment: str, sessions: int) -> dict[str, float]:
    return peers.run(_peer(environment, sessions))


_PEERS = named("pipecat060", "pipecat_latest")
PEERS = {f"{name}, {count}": environment for count in COUNTS for name, environment in _PEERS.items()}
CASES: dict[str, Callable[[], dict[str, float]]] = {
    **{f"ours, {count}": partial(_run, count) for count in COUNTS},
    **{f"{name}, {count}": partial(_of_peer, each, count) for count in COUNTS for name, each in _PEERS.items()},
}


def rows(rounds: Rounds) -> list[Row]:
    return [
        *(_last(rounds, count) for count in COUNTS),
        *(row for count in COUNTS for row in (_closed(rounds, count), *_ahead(rounds, count))),
    ]


def _sessions(count: int) -> str:
    return f"{count} session{'' if count == 1 else 's'}"


def _last(rounds: Rounds, count: int) -> Row:
    case, what = f"ours, {count}", f"{_sessions(count)}: to the last frame, p99"
    detail = f"p50 {middle(rounds, case, 'last_p50'):.3f} ms"
    return Row(what, middle(rounds, case, "last_p99"), "ms", TARGET_LAST, detail=detail)


def _closed(rounds: Rounds, count: int) -> Row:
    case, what = f"ours, {count}", f"{_sessions(count)}: to the end of the turn, p50"
    detail = f"p99 {middle(rounds, case, 'closed_p99'):.3f} ms"
    return Row(what, middle(rounds, case, "closed"), "ms", TARGET_CLOSED, detail=detail)


def _ahead(rounds: Rounds, count: int) -> list[Row]:
    return [
        of_peer(environment, _ahead_of(rounds, f"{name}, {count}", f"{_sessions(count)}: ahead of {name}", count))
        for name, environment in _PEERS.items()
    ]


def _ahead_of(rounds: Rounds, case: str, what: str, count: int) -> Row:
    told = f"p50 {middle(rounds, case, 'closed'):.3f} ms, p99 {middle(rounds, case, 'closed_p99'):.3f} ms"
    detail = f"{told}; the last frame p99 {middle(rounds, case, 'last_p99'):.3f} ms"
    return Row(what, ratio(rounds, case, f"ours, {count}", "closed"), "x", AHEAD, least=True, detail=detail)
