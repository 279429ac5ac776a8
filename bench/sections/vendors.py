"""Our vendor packages, compared with our bridge to LiveKit's plugins and with LiveKit's and pipecat's own classes.

All of them talk to the same server of fakes, in turns, each in a process and an environment of its own.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
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


def _run(contestant: str, script: str, *arguments: str) -> dict[str, float]:
    """Run a script in the environment of a contestant, and return its figures, with flat names."""
    python = str(python_of(_ENVIRONMENTS[contestant])) if contestant in _ENVIRONMENTS else sys.executable
    command = [python, str(HERE / "vendors" / script), contestant, *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, env=_PATH)
    sys.stderr.write(ran.stderr)
    if ran.returncode:
        raise RuntimeError(ran.stderr[-1500:])
    found: Mapping[str, Mapping[str, float]] = json.loads(ran.stdout.splitlines()[-1])
    return {f"{name} {key}": value for name, figures in found.items() for key, value in figures.items()}


def _operations(contestant: str, service: str) -> dict[str, float]:
    server = subprocess.Popen(
        [sys.executable, str(HERE / "vendors" / "server.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=_PATH,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        return _run(contestant, "drive.py", server.stdout.readline().strip(), service)
    finally:
        server.stdin.close()
        server.wait(10)


CASES: dict[str, Callable[[], dict[str, float]]] = {
    # Service by service, so that little time is between the contestants: the speed of a machine changes.
    **{f"{each}: {service}": partial(_operations, each, service) for service in _SERVICES for each in _ORDER},
    **{f"{each}, imported": partial(_run, each, "imports.py") for each in _CONTESTANTS if each != "asyncio"},
}
STARTED = {
    case.format(each): environment
    for each, environment in _ENVIRONMENTS.items()
    for case in (*(f"{{}}: {service}" for service in _SERVICES), "{}, imported")
}

#: The figures of a service: the name in the table, the figure, its unit, and by how much to divide it.
_OF_ANSWERS = (
    ("CPU per piece", "us", "µs", 1.0),
    ("first piece, after it was sent", "first_ms", "ms", 1.0),
    ("interrupted, until the vendor is told", "told_ms", "ms", 1.0),
)
_OF_HEARING = (
    ("CPU per second of audio", "us", "ms", 1e3),
    ("CPU after the end of the audio", "after_us", "ms", 1e3),
    ("final text, after the end of the audio", "final_ms", "ms", 1.0),
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
            _row(rounds, f"{vendor} {kind}: {what}", f"{{}}: {vendor} {kind}", f"{vendor} {kind} {key}", unit, by)
            for vendor, kind in SERVICES
            for what, key, unit, by in (_OF_HEARING if kind == "stt" else _OF_ANSWERS)
        ),
        *(
            replace(
                _row(rounds, f"{vendor} stt: {what}", f"{{}}: {vendor} stt", f"{vendor} stt {key}", unit, by),
                target=None,
            )
            for vendor, kind in SERVICES
            if kind == "stt"
            for what, key, unit, by in _OF_SETTLING
        ),
        *(
            _row(rounds, f"{vendor}: {what}", "{}, imported", f"{vendor} {key}", unit, by)
            for vendor in _VENDORS
            for what, key, unit, by in _OF_IMPORTS
        ),
        *(
            replace(_row(rounds, f"{vendor}: {what}", "{}, imported", f"{vendor} {key}", unit, by), target=None)
            for vendor in _VENDORS
            for what, key, unit, by in _BESIDE_THE_CORE
        ),
    ]


def _row(rounds: Rounds, what: str, case: str, key: str, unit: str, by: float) -> Row:
    """A row with how many times ours the nearest rival takes. One without a figure never got done."""
    ours = case.format("native")
    ratios: dict[str, float] = {}
    details: list[str] = []
    for contestant in _CONTESTANTS:
        name = case.format(contestant)
        if name not in CASES or (name in STARTED and python_of(STARTED[name]) is None):
            continue
        value = middle(rounds, name, key) / by
        if contestant in _RIVALS and not math.isnan(value):
            ratios[contestant] = _ratio(rounds, name, ours, key)
        told = "not within 500" if math.isnan(value) else f"{value:.3g}"
        details.append(f"{_NAMES[contestant]} {told}")
    if not ratios:
        return Row(what, math.nan, "x", detail=f"{unit}: {', '.join(details)}", installed=len(details) > 1)
    nearest = min(ratios, key=lambda each: ratios[each])
    return Row(what, ratios[nearest], "x", 1.0, least=True, detail=f"{unit}: {', '.join(details)}")


def _ratio(rounds: Rounds, case: str, ours: str, key: str) -> float:
    """Take the ratio within each round. A figure of 0, or below 0 because of noise, counts as a thousandth."""
    return of_rounds(rounds, lambda cases: max(cases[case][key], 1e-3) / max(cases[ours][key], 1e-3))
