"""Audio both ways over our WebSocket, in many sessions at once, against echoes: on uvicorn, and on our protocol."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from peers.environments import named, python_of
from table import Rounds, Row, ahead_of, middle, times_floor

from sections.websocket import load, server

#: Times the echo, and times a peer's sessions to a core.
TARGET, AHEAD = 1.6, 10.0
COUNTS = (20, 50)
#: About half of what a core carries, to see that frames still come in time.
MANY = 100
#: About half of what a core carries of a peer; 20 were too many for a slow core.
_PEER_COUNT = 10
_BENCH = Path(__file__).parent.parent
_SECONDS = 3.0
#: A frame every 20 ms in each direction.
_FRAME_US = 20_000
_PLAIN = {"echo": "/echo", "echo with the codec": "/codec"}
#: What our server carries at most.
_BARE = "echo on our protocol"
_PATHS = {**_PLAIN, _BARE: "/echo", "ours": "/start"}


def _ours(name: str, count: int) -> dict[str, float]:
    plain = ("plain",) if name in _PLAIN else ()
    with server(sys.executable, str(_BENCH / "audio_server.py"), *plain) as (ports, pid):
        return _loaded(pid, count, _PATHS[name], ports)


def _peer(environment: str) -> dict[str, float]:
    serving = (str(_BENCH / "serve_peer.py"), environment, "serve_audio", str(_PEER_COUNT))
    with server(str(python_of(environment)), *serving) as (ports, pid):
        return _loaded(pid, _PEER_COUNT, "/", ports)


def _loaded(pid: int, count: int, path: str, ports: list[int]) -> dict[str, float]:
    found = load("audio_load.py", pid, count, _SECONDS, path, *ports, timeout=90)
    if found["silent"]:
        raise RuntimeError(f"not every session was answered: {found}")
    return found


def _cases() -> dict[str, Callable[[], dict[str, float]]]:
    ours = {f"{name}, {count}": partial(_ours, name, count) for count in COUNTS for name in _PATHS}
    other = {
        f"{name}, {count}": partial(_ours, name, count) for count in (_PEER_COUNT, MANY) for name in ("echo", "ours")
    }
    return {**ours, **other}


STARTED = named("pipecat_latest")
CASES = {**_cases(), **{name: partial(_peer, environment) for name, environment in STARTED.items()}}


def rows(rounds: Rounds) -> list[Row]:
    return [
        *(row for count in COUNTS for row in _rows(rounds, count)),
        _carried(rounds),
        _punctual(rounds),
        *(row for peer in STARTED.items() for row in _ahead(rounds, peer)),
    ]


def _rows(rounds: Rounds, count: int) -> list[Row]:
    what, ours = f"{count} sessions, a frame each way", f"ours, {count}"
    return [
        times_floor(rounds, what, ours, f"echo, {count}", TARGET),
        times_floor(rounds, f"{what}, over an echo with the codec", ours, f"echo with the codec, {count}"),
        times_floor(rounds, f"{what}, over an {_BARE}", ours, f"{_BARE}, {count}"),
    ]


def _carried(rounds: Rounds) -> Row:
    each, echo = middle(rounds, f"ours, {MANY}", "us"), middle(rounds, f"echo, {MANY}", "us")
    detail = f"extrapolated from {MANY}, which take {each:.1f} µs a pair; the echo alone {_FRAME_US / echo:,.0f}"
    return Row("sessions that one core carries", _FRAME_US / each, "sessions", detail=detail)


def _punctual(rounds: Rounds) -> Row:
    """On a machine that others use as well, the echo's frames tell how late any are."""
    ours, echo = f"ours, {MANY}", f"echo, {MANY}"
    detail = (
        f"echo {middle(rounds, echo, 'late') * 100:.3g} %; p99 {middle(rounds, ours, 'late_p99_ms'):.1f} ms, "
        f"echo {middle(rounds, echo, 'late_p99_ms'):.1f} ms; {middle(rounds, ours, 'core') * 100:.0f} % of a core, "
        f"which others kept it from for {middle(rounds, ours, 'waited') * 100:.0f} %"
    )
    late = middle(rounds, ours, "late") * 100
    return Row(f"{MANY} sessions, frames that come more than 20 ms late", late, "%", detail=detail)


def _ahead(rounds: Rounds, peer: tuple[str, str]) -> list[Row]:
    """Sessions to a core where each has about half of one to do; and as many sessions as the peer's with either."""
    few, many, echo = f"ours, {_PEER_COUNT}", f"ours, {MANY}", f"echo, {_PEER_COUNT}"
    told = f"extrapolated from our {MANY} and its {_PEER_COUNT}: {_FRAME_US / middle(rounds, peer[0], 'us'):.0f} of its"
    carried = ahead_of(rounds, peer, peer[0], many, echo, "sessions to a core, ", AHEAD)
    return [
        replace(carried, detail=told) if carried.installed else carried,
        ahead_of(rounds, peer, peer[0], few, echo, f"{_PEER_COUNT} sessions, a frame each way, "),
    ]
