"""Bots that speak are interrupted: until the last frame is sent, the TTS has stopped, and the turn is closed."""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
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
#: The target ratio to any peer.
AHEAD = 4.0
COUNTS = (1, 50)
_TIMES = 6


@dataclass(frozen=True)
class _Interruption:
    """Seconds to the last frame that came out, until the TTS made no more, and to the end of the turn."""

    last: float
    stopped: float
    closed: float = math.nan


async def _measured(sessions: int) -> dict[str, float]:
    from voices import Heard, host, start

    found_in_all: list[_Interruption] = []
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
            # One after the other, while all the others speak.
            found_in_all.extend([await _interrupt(each) for each in heard])
        for each in heard:
            each.connection.disconnected()
        await asyncio.gather(*tasks)
    return _told(found_in_all)


async def _interrupt(heard: Heard) -> _Interruption:
    from voices import silence

    began = time.perf_counter()
    heard.connection.receive(call("tts", "interrupt", {}, "1"))
    await heard.connection.idle()
    closed = time.perf_counter()
    assert began < silence.since <= closed
    stopped = silence.since
    await asyncio.sleep(0.05)  # longer than two frames: everything has arrived
    return _Interruption(max(0.0, heard.last - began), stopped - began, closed - began)


async def _peer(environment: str, sessions: int) -> dict[str, float]:
    found: list[_Interruption] = []
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
            found.append(_Interruption(max(0.0, each.last - began), each.stopped_at - began))
    return _told(found)


def _told(found: list[_Interruption]) -> dict[str, float]:
    """The median and the 99th percentile of each figure, in milliseconds."""
    told: dict[str, float] = {}
    for name in ("last", "stopped", "closed"):
        ordered = sorted(getattr(each, name) * 1e3 for each in found)
        told[name] = statistics.median(ordered)
        told[f"{name}_p99"] = ordered[len(ordered) * 99 // 100]
    return told


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
        *(_row(rounds, count, "to the last frame, p99", "last_p99", TARGET_LAST) for count in COUNTS),
        *(_row(rounds, count, "to the end of the turn, p50", "closed", TARGET_CLOSED) for count in COUNTS),
        *(row for count in COUNTS for row in _stopped(rounds, count)),
    ]


def _sessions(count: int) -> str:
    return f"{count} session{'' if count == 1 else 's'}"


def _row(rounds: Rounds, count: int, what: str, key: str, target: float) -> Row:
    name, case = key.removesuffix("_p99"), f"ours, {count}"
    detail = f"p50 {middle(rounds, case, name):.3f} ms, p99 {middle(rounds, case, f'{name}_p99'):.3f} ms"
    return Row(f"{_sessions(count)}: {what}", middle(rounds, case, key), "ms", target, detail=detail)


def _stopped(rounds: Rounds, count: int) -> list[Row]:
    """The time until the TTS stops, p99: the only figure that peers have as well."""
    what, ours = f"{_sessions(count)}: to the end of the TTS, p99", f"ours, {count}"
    value = middle(rounds, ours, "stopped_p99")
    detail = f"p50 {middle(rounds, ours, 'stopped'):.3f} ms"
    return [Row(what, value, "ms", detail=detail), *(_ahead(rounds, each, what, count) for each in _PEERS.items())]


def _ahead(rounds: Rounds, peer: tuple[str, str], what: str, count: int) -> Row:
    name, environment = peer
    case, target = f"{name}, {count}", AHEAD if count == COUNTS[-1] else None
    p50, p99 = middle(rounds, case, "stopped"), middle(rounds, case, "stopped_p99")
    detail = f"p50 {p50:.3f} ms, p99 {p99:.3f} ms; to the last frame, p99 {middle(rounds, case, 'last_p99'):.3f} ms"
    times = ratio(rounds, case, f"ours, {count}", "stopped_p99")
    return of_peer(environment, Row(f"{what}, ahead of {name}", times, "x", target, least=True, detail=detail))
