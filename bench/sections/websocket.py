"""Actions over our server's WebSocket, 64 of them in flight, against an echo by the same server."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from measure import cpu_seconds_of
from table import Rounds, Row, middle, of_rounds

TARGET = 0.6
_BENCH = Path(__file__).parent.parent
_SECONDS = 1.5


@contextmanager
def _server() -> Generator[tuple[int, int]]:
    """A server in a process of its own: its port and its process id."""
    process = subprocess.Popen([sys.executable, str(_BENCH / "server.py")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line.strip().isdigit():
            raise RuntimeError("the server did not start")
        yield int(line), process.pid
    finally:
        process.kill()
        process.wait()


def _path(port: int) -> str:
    """Where a new session waits."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/start", data=b"{}", method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return f"/ws?token={json.load(answer)['token']}"


def _measured(*, echo: bool, in_flight: int) -> dict[str, float]:
    with _server() as (port, pid):
        path = "/echo" if echo else _path(port)
        before = cpu_seconds_of(pid)
        ran = subprocess.run(
            [sys.executable, str(_BENCH / "load.py"), str(port), path, str(in_flight), str(_SECONDS)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if ran.returncode:
            raise RuntimeError(ran.stderr[-1_000:])
        return {**json.loads(ran.stdout), "server_cpu": cpu_seconds_of(pid) - before}


CASES: dict[str, Callable[[], dict[str, float]]] = {
    f"{what}, {in_flight} in flight": partial(_measured, echo=what == "echo", in_flight=in_flight)
    for in_flight in (1, 64)
    for what in ("echo", "actions")
}


def rows(rounds: Rounds) -> list[Row]:
    return [_row(rounds, 64, TARGET), _row(rounds, 1, None)]


def _row(rounds: Rounds, in_flight: int, target: float | None) -> Row:
    actions, echo = f"actions, {in_flight} in flight", f"echo, {in_flight} in flight"
    share = of_rounds(rounds, lambda cases: cases[actions]["per_second"] / cases[echo]["per_second"])
    detail = (
        f"{middle(rounds, actions, 'per_second'):,.0f}/s, echo {middle(rounds, echo, 'per_second'):,.0f}/s; "
        f"answered in {middle(rounds, actions, 'p50_us'):,.0f} µs, p99 {middle(rounds, actions, 'p99_us'):,.0f} µs"
    )
    return Row(f"{in_flight} in flight, share of the echo", share, "x", target, least=True, detail=detail)
