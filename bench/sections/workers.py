"""Actions over `rtvi run` and `rtvi run --workers`. The load comes from the same cores: there is no third one."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from measure import cpu_seconds_of, descendants, proportional_kb, resident_kb, unpin
from table import Rounds, Row, middle, ratio

from sections.websocket import load, path_of_session

#: The options of each server.
SERVERS = {"rtvi run": (), "--workers 1": ("--workers", "1"), "--workers 2": ("--workers", "2")}
SESSIONS, IN_FLIGHT = 20, 4
_BENCH = Path(__file__).parent.parent
_SECONDS = 3.0
#: All load comes from one address, and limits refuse nothing.
_LIMITS = ("rate=1000000000", "burst=1000000000", "unclaimed=1000", "unclaimed_per_address=1000")


@contextmanager
def _running(*options: str) -> Generator[tuple[int, int]]:
    """A server: its port, and its process id."""
    limits = [word for limit in _LIMITS for word in ("--limit", limit)]
    bot = str(_BENCH / "bots.py:speaker")
    command = [sys.executable, "-m", "rtvi_plugins", "run", bot, "--port", "0", "--drain-seconds", "0", *limits]
    with (
        TemporaryDirectory(prefix="rtvi-bench-") as folder,
        subprocess.Popen(
            [*command, "--connections-per-address", "1000", *options], stdout=subprocess.PIPE, text=True, cwd=folder
        ) as process,
    ):
        assert process.stdout is not None
        try:
            if (found := re.search(r"http://127\.0\.0\.1:(\d+)", process.stdout.readline())) is None:
                raise RuntimeError("the server did not start")
            yield int(found[1]), process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def _run(options: tuple[str, ...]) -> dict[str, float]:
    unpin()
    with _running(*options) as (port, pid):
        workers = descendants(pid) or [pid]
        idle = [proportional_kb(each) for each in workers]
        paths, took = list[str](), list[float]()
        for _ in range(SESSIONS):
            began = time.perf_counter()
            paths.append(path_of_session(port))
            took.append(time.perf_counter() - began)
        served = {pid, *workers}
        before = sum(map(cpu_seconds_of, served))
        found = load("load.py", port, ",".join(paths), IN_FLIGHT, _SECONDS, "rtvi", "free", timeout=60)
        return {
            **found,
            "cpu_us": (sum(map(cpu_seconds_of, served)) - before) / found["answered"] * 1e6,
            "load_us": found["load_cpu"] / found["answered"] * 1e6,
            "start_ms": median(took) * 1e3,
            "worker_mb": median(idle) / 1e3,
            "front_mb": resident_kb(pid) / 1e3 if pid not in workers else 0.0,
        }


CASES: dict[str, Callable[[], dict[str, float]]] = {name: partial(_run, options) for name, options in SERVERS.items()}


def rows(rounds: Rounds) -> list[Row]:
    return [row for name in SERVERS for row in _rows(rounds, name)]


def _rows(rounds: Rounds, name: str) -> list[Row]:
    times = ratio(rounds, name, "rtvi run", "per_second")
    detail = (
        f"{times:.2f} of rtvi run; {middle(rounds, name, 'cpu_us'):.1f} µs of CPU for each, the load beside it "
        f"{middle(rounds, name, 'load_us'):.1f} µs; answered in {middle(rounds, name, 'p50_us'):,.0f} µs, "
        f"p99 {middle(rounds, name, 'p99_us'):,.0f} µs; a start {middle(rounds, name, 'start_ms'):.2f} ms"
    )
    front = middle(rounds, name, "front_mb")
    held = f"PSS with nobody; the front {front:.1f} MB RSS" if front else "PSS with nobody"
    return [
        Row(f"{name}: actions", middle(rounds, name, "per_second"), "/s", detail=detail),
        Row(f"{name}: memory of a process that serves", middle(rounds, name, "worker_mb"), "MB", detail=held),
    ]
