"""Actions over our server's WebSocket, with each store of sessions and with none."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from measure import cpu_seconds_of, descendants, unpin
from table import Rounds, Row, middle, of_rounds

from sections.websocket import load, path_of_session, server

#: Forms of SQLite, with what `server.py` is given for each. The others are servers of databases, and none.
SQLITE = {
    "SQLite": (),
    "SQLite, full sync": ("full",),
    "SQLite, encrypted": ("encrypted",),
    "SQLite, histories kept": ("kept",),
    "SQLite, encrypted, histories kept": ("encrypted", "kept"),
}
STORES = ("none", "memory", *SQLITE, "Redis", "PostgreSQL")
#: How an action is sent, by what it is.
KINDS = {"repeatable action": "repeatable", "action with an effect": "rtvi"}
#: Sessions that ask at once, one action each.
MANY = 20
_BENCH = Path(__file__).parent.parent
_SECONDS = 1.5


@contextmanager
def _target(store: str, folder: Path) -> Generator[list[str]]:
    """What the server is given. The servers of databases are those of the tests of their stores."""
    match store:
        case "none":
            yield []
        case "memory":
            yield ["memory"]
        case _ if store in SQLITE:
            yield [str(folder / "sessions.db"), *SQLITE[store]]
        case _:
            sys.path.append(str(_BENCH.parent))
            databases: Any = import_module("tests.tools.databases")
            with databases.store_in(folder, {"Redis": "redis", "PostgreSQL": "postgres"}[store]) as url:
                yield [url]


def _run(store: str, wire: str) -> dict[str, float]:
    unpin()  # the server stays on its core, the database uses what is left
    with TemporaryDirectory(prefix="rtvi-bench-") as folder, _target(store, Path(folder)) as target:
        databases = descendants(os.getpid())
        with server(sys.executable, str(_BENCH / "server.py"), *target) as ((port,), pid):
            found: dict[str, float] = {}
            for name, count in (("one", 1), ("many", MANY)):
                paths = ",".join(path_of_session(port) for _ in range(count))
                used, of_database = cpu_seconds_of(pid), _all_cpu(databases)
                measured = load("load.py", port, paths, 1, _SECONDS, wire, timeout=60)
                each = 1e6 / measured["answered"]
                found |= {f"{name}_{key}": value for key, value in measured.items()}
                found[f"{name}_cpu_us"] = (cpu_seconds_of(pid) - used) * each
                found[f"{name}_database_us"] = (_all_cpu(databases) - of_database) * each
            return found


def _all_cpu(processes: list[int]) -> float:
    """The CPU time of the database: of those processes, and of those that serve its connections."""
    found = {each for pid in processes for each in (pid, *descendants(pid))}
    return sum(map(cpu_seconds_of, found))


CASES: dict[str, Callable[[], dict[str, float]]] = {
    f"{kind}, {store}": partial(_run, store, wire) for kind, wire in KINDS.items() for store in STORES
}


def rows(rounds: Rounds) -> list[Row]:
    return [_row(rounds, kind, store) for kind in KINDS for store in STORES]


def _row(rounds: Rounds, kind: str, store: str) -> Row:
    case, none = f"{kind}, {store}", f"{kind}, none"
    added = of_rounds(rounds, lambda cases: cases[case]["many_cpu_us"] - cases[none]["many_cpu_us"])
    detail = (
        f"{added:+.0f} µs over none, database {middle(rounds, case, 'many_database_us'):.0f} µs; "
        f"{MANY} sessions: {middle(rounds, case, 'many_per_second'):,.0f}/s, answered in "
        f"{_ms(rounds, case, 'many_p50_us')}, p99 {_ms(rounds, case, 'many_p99_us')}; "
        f"one: {_ms(rounds, case, 'one_p50_us')}, p99 {_ms(rounds, case, 'one_p99_us')}, "
        f"{middle(rounds, case, 'one_cpu_us'):.0f} µs of CPU"
    )
    return Row(f"{case}: CPU of the server", middle(rounds, case, "many_cpu_us"), "µs", detail=detail)


def _ms(rounds: Rounds, case: str, key: str) -> str:
    return f"{middle(rounds, case, key) / 1e3:.2f} ms"
