"""Actions over our server's WebSocket, 64 of them in flight, against an echo on uvicorn, and one on our protocol."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from measure import cpu_seconds_of
from peers.environments import named, python_of
from table import Rounds, Row, middle, of_peer, of_rounds

TARGET = 0.6
#: The target ratio to a peer.
AHEAD = {"pipecat060": 2.0, "pipecat_latest": 10.0}
#: What each peer's server takes of `load.WIRES`.
_WIRES = {"pipecat060": "action", "pipecat0108": "protobuf", "pipecat_latest": "protobuf", "fastapi": "action"}
_BENCH = Path(__file__).parent.parent
_SECONDS = 1.5
#: What our server carries at most.
_BARE = "echo on our protocol"


@contextmanager
def server(*command: str) -> Generator[tuple[list[int], int]]:
    """A server in a process of its own: its ports, which it prints in one line, and its process id."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        ports = process.stdout.readline().split()
        if not ports or not all(each.isdigit() for each in ports):
            raise RuntimeError("the server did not start")
        yield [int(each) for each in ports], process.pid
    finally:
        process.kill()
        process.wait()


def path_of_session(port: int) -> str:
    """Return the address of a new session."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/start", data=b"{}", method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        started: dict[str, str] = json.load(answer)
    return f"{urlsplit(started['wsUrl']).path}?token={started['token']}"


def _ours(*, what: str, in_flight: int) -> dict[str, float]:
    plain = ("plain",) if what == "echo" else ()
    with server(sys.executable, str(_BENCH / "server.py"), *plain) as ((port,), pid):
        return _loaded(port, pid, path_of_session(port) if what == "actions" else "/echo", in_flight, "rtvi")


def _peer(environment: str, in_flight: int) -> dict[str, float]:
    with server(str(python_of(environment)), str(_BENCH / "serve_peer.py"), environment) as ((port,), pid):
        return _loaded(port, pid, "/", in_flight, _WIRES[environment])


def load(script: str, *arguments: object, timeout: float) -> dict[str, float]:
    """What a script of this folder measures, in a process of its own, while it puts load on a server."""
    ran = subprocess.run(
        [sys.executable, str(_BENCH / script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if ran.returncode:
        raise RuntimeError(ran.stderr[-1_000:])
    found: dict[str, float] = json.loads(ran.stdout)
    return found


def _loaded(port: int, pid: int, path: str, in_flight: int, wire: str) -> dict[str, float]:
    before = cpu_seconds_of(pid)
    found = load("load.py", port, path, in_flight, _SECONDS, wire, timeout=60)
    return {**found, "cpu_us": (cpu_seconds_of(pid) - before) / found["answered"] * 1e6}


STARTED = named(*_WIRES)
CASES: dict[str, Callable[[], dict[str, float]]] = {
    **{
        f"{what}, {in_flight} in flight": partial(_ours, what=what, in_flight=in_flight)
        for in_flight in (1, 64)
        for what in ("echo", _BARE, "actions")
    },
    **{name: partial(_peer, environment, 64) for name, environment in STARTED.items()},
}
#: What `--against` compares, by case.
COMPARED = {f"actions, {in_flight} in flight": ["cpu_us"] for in_flight in (1, 64)}


def rows(rounds: Rounds) -> list[Row]:
    peers = [_peer_row(rounds, name, environment) for name, environment in STARTED.items()]
    return [
        *(_row(rounds, 64, "echo", TARGET), _row(rounds, 64, _BARE, None)),
        *peers,
        *(_row(rounds, 1, "echo", None), _row(rounds, 1, _BARE, None)),
    ]


def _peer_row(rounds: Rounds, name: str, environment: str) -> Row:
    ours, echo = "actions, 64 in flight", "echo, 64 in flight"
    times = of_rounds(rounds, lambda cases: cases[ours]["per_second"] / cases[name]["per_second"])
    share = of_rounds(rounds, lambda cases: cases[name]["per_second"] / cases[echo]["per_second"])
    detail = f"{_speed(rounds, name)}, {share:.2g} of our server's echo"
    row = Row(f"64 in flight, ahead of {name}", times, "x", AHEAD.get(environment), least=True, detail=detail)
    return of_peer(environment, row)


def _row(rounds: Rounds, in_flight: int, of: str, target: float | None) -> Row:
    actions, echo = f"actions, {in_flight} in flight", f"{of}, {in_flight} in flight"
    share = of_rounds(rounds, lambda cases: cases[actions]["per_second"] / cases[echo]["per_second"])
    detail = (
        f"{_speed(rounds, actions)}, echo {_speed(rounds, echo)}; "
        f"answered in {middle(rounds, actions, 'p50_us'):,.0f} µs, p99 {middle(rounds, actions, 'p99_us'):,.0f} µs"
    )
    return Row(f"{in_flight} in flight, share of the {of}", share, "x", target, least=True, detail=detail)


def _speed(rounds: Rounds, case: str) -> str:
    """Return how many per second, and the server's cost of each, which depends less on how busy the machine is."""
    return f"{middle(rounds, case, 'per_second'):,.0f}/s ({middle(rounds, case, 'cpu_us'):.0f} µs of CPU)"
