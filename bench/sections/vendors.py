"""Our vendor packages, compared with our bridge to LiveKit's plugins and with LiveKit's and pipecat's own classes.

All of them talk to the same server of fakes, each in a process and an environment of its own. They take turns with each
operation, because the speed of a machine changes.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from peers.environments import python_of
from table import Rounds, Row, middle, of_rounds
from vendors.workload import SERVICES

HERE = Path(__file__).resolve().parents[1]
#: The environment of each contestant that is not ours.
_ENVIRONMENTS = {"bridge": "livekit_vendors", "livekit": "livekit_vendors", "pipecat": "pipecat_vendors"}
_CONTESTANTS = ("native", "asyncio", *_ENVIRONMENTS)
_PATH = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))}
_NAMES = dict(zip(_CONTESTANTS, ("ours", "on asyncio's loop", "our bridge", "LiveKit", "pipecat"), strict=True))
#: Whom to be ahead of. Our bridge is shown beside them: it is LiveKit's classes, and a part of ours.
_RIVALS = ("livekit", "pipecat")
_VENDORS = tuple(dict.fromkeys(vendor for vendor, _ in SERVICES))
_SERVICES = tuple(f"{vendor} {kind}" for vendor, kind in SERVICES)
#: Those that are compared stand side by side.
_ORDER = ("pipecat", "native", "livekit", "asyncio", "bridge")


def _is_installed(contestant: str) -> bool:
    return contestant not in _ENVIRONMENTS or python_of(_ENVIRONMENTS[contestant]) is not None


def _command(contestant: str, script: str, *arguments: str) -> list[str]:
    """Return the command of a script in the environment of a contestant."""
    python = str(python_of(_ENVIRONMENTS[contestant])) if contestant in _ENVIRONMENTS else sys.executable
    return [python, str(HERE / "vendors" / script), contestant, *arguments]


def _imports(contestant: str) -> dict[str, float]:
    command = _command(contestant, "imports.py")
    ran = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, env=_PATH)
    sys.stderr.write(ran.stderr)
    if ran.returncode:
        raise RuntimeError(ran.stderr[-1500:])
    found: Mapping[str, Mapping[str, float]] = json.loads(ran.stdout.splitlines()[-1])
    return {f"{name} {key}": value for name, figures in found.items() for key, value in figures.items()}


@contextmanager
def _talking(command: list[str]) -> Generator[subprocess.Popen[str]]:
    """Run a command, to which lines can be written. It is killed if it does not end when it can read nothing more."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_PATH)
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _figures(process: subprocess.Popen[str]) -> dict[str, dict[str, float]] | None:
    """Wait for the end of an operation. After the last one, return the figures, which are empty after a failure."""
    assert process.stdout is not None
    for line in process.stdout:  # libraries print others
        if line == "ready\n":
            return None
        if line.startswith("figures "):
            found: dict[str, dict[str, float]] = json.loads(line.removeprefix("figures "))
            return found
    return {}


def _in_turns(service: str) -> dict[str, float]:
    """Have all contestants ask for one service. Return the figures of each, as "contestant figure"."""
    found: dict[str, float] = {}
    with ExitStack() as stack:
        drivers: dict[str, subprocess.Popen[str]] = {}
        for each in filter(_is_installed, _ORDER):
            server = stack.enter_context(_talking([sys.executable, str(HERE / "vendors" / "server.py")]))
            assert server.stdout is not None
            base = server.stdout.readline().strip()
            driver = stack.enter_context(_talking(_command(each, "drive.py", base, service)))
            if _figures(driver) is None:
                drivers[each] = driver
        while drivers:
            for contestant, driver in tuple(drivers.items()):
                assert driver.stdin is not None
                driver.stdin.write("go\n")
                driver.stdin.flush()
                if (figures := _figures(driver)) is not None:
                    found |= {f"{contestant} {key}": value for key, value in figures.get(service, {}).items()}
                    del drivers[contestant]
            # Back again, because an operation leaves the processor's caches to the next one.
            drivers = dict(reversed(drivers.items()))
    return found


CASES: dict[str, Callable[[], dict[str, float]]] = {
    **{service: partial(_in_turns, service) for service in _SERVICES},
    **{f"{each}, imported": partial(_imports, each) for each in _CONTESTANTS if each != "asyncio"},
}
STARTED = {f"{each}, imported": environment for each, environment in _ENVIRONMENTS.items()}

#: The figures of a service: the name in the table, the figure, its unit, and by how much to divide it.
_OF_ANSWERS = (
    ("CPU per piece", "us", "µs", 1.0),
    ("first piece, after it was sent", "first_ms", "ms", 1.0),
    ("interrupted, until the vendor is told", "told_ms", "ms", 1.0),
)
_OF_HEARING = (
    ("CPU per second of audio", "us", "ms", 1e3),
    ("CPU after the end of the audio", "after_us", "ms", 1e3),
    ("final text, after the end of the audio, without the vendor's time", "final_ms", "ms", 1.0),
)
#: Shown for comparison: only ours tell that nothing more will come, so the others are done with their final text.
_OF_SETTLING = (("all settled, after the end of the audio", "over_ms", "ms", 1.0),)
_OF_IMPORTS = (
    ("import, with its core", "whole_ms", "ms", 1.0),
    ("memory, with its core", "whole_mb", "MB", 1.0),
    ("disk, with its core", "whole_disk_mb", "MB", 1.0),
)
#: Shown for comparison: if a core imports much itself, a vendor's package adds little.
_BESIDE_THE_CORE = (
    ("import, beside its core", "ms", "ms", 1.0),
    ("memory, beside its core", "mb", "MB", 1.0),
    ("disk, beside its core", "disk_mb", "MB", 1.0),
)


def rows(rounds: Rounds) -> list[Row]:
    return [
        *(
            _operation(rounds, f"{vendor} {kind}", *figure)
            for vendor, kind in SERVICES
            for figure in (_OF_HEARING if kind == "stt" else _OF_ANSWERS)
        ),
        *(
            replace(_operation(rounds, f"{vendor} stt", *figure), target=None)
            for vendor, kind in SERVICES
            if kind == "stt"
            for figure in _OF_SETTLING
        ),
        *(_imported(rounds, vendor, *figure) for vendor in _VENDORS for figure in _OF_IMPORTS),
        *(
            replace(_imported(rounds, vendor, *figure), target=None)
            for vendor in _VENDORS
            for figure in _BESIDE_THE_CORE
        ),
    ]


def _operation(rounds: Rounds, service: str, what: str, key: str, unit: str, by: float) -> Row:
    figures = {each: (service, f"{each} {key}") for each in _CONTESTANTS}
    return _row(rounds, f"{service}: {what}", figures, unit, by)


def _imported(rounds: Rounds, vendor: str, what: str, key: str, unit: str, by: float) -> Row:
    figures = {each: (f"{each}, imported", f"{vendor} {key}") for each in _CONTESTANTS if each != "asyncio"}
    return _row(rounds, f"{vendor}: {what}", figures, unit, by)


def _row(rounds: Rounds, what: str, figures: Mapping[str, tuple[str, str]], unit: str, by: float) -> Row:
    """Return how many times ours the nearest rival takes. A rival without a figure did not complete it.

    `figures` are the case and the key of each contestant.
    """
    ratios: dict[str, float] = {}
    details: list[str] = []
    for contestant, (case, key) in figures.items():
        if not _is_installed(contestant):
            continue
        value = middle(rounds, case, key) / by
        if contestant in _RIVALS and not math.isnan(value):
            ratios[contestant] = _ratio(rounds, (case, key), figures["native"])
        told = "not within 500" if math.isnan(value) else f"{value:.3g}"
        details.append(f"{_NAMES[contestant]} {told}")
    if not ratios:
        return Row(what, math.nan, "x", detail=f"{unit}: {', '.join(details)}", installed=len(details) > 1)
    nearest = min(ratios, key=lambda each: ratios[each])
    return Row(what, ratios[nearest], "x", 1.0, least=True, detail=f"{unit}: {', '.join(details)}")


def _ratio(rounds: Rounds, rival: tuple[str, str], ours: tuple[str, str]) -> float:
    """Take the ratio within each round. A figure of 0, or below 0 because of noise, counts as a thousandth."""

    def figure(cases: Mapping[str, Mapping[str, float]], of: tuple[str, str]) -> float:
        return max(cases[of[0]][of[1]], 1e-3)

    return of_rounds(rounds, lambda cases: figure(cases, rival) / figure(cases, ours))
