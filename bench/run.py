"""Measure the framework against its targets: `python bench/run.py [section …]`. See README.md in this folder."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import against
from measure import MEASURED, pin
from peers.environments import FOLDER, python_of
from table import Row, render

SECTIONS = (
    "dispatch",
    "refused",
    "head_of_line",
    "websocket",
    "describe",
    "update_config",
    "sessions",
    "startup",
    "discovery",
    "voice_to_voice",
    "interruption",
    "failover",
    "stores",
    "workers",
    "audio",
    "offline",
    "vendors",
)
HERE = Path(__file__).parent
#: Marks the result in the output of a case, because peers print much themselves.
_MARK = "@@measured@@"
#: How long one case may take.
_SECONDS = 300


def main() -> int:
    arguments = _arguments()
    if arguments.case is not None:
        return _measure_here(*arguments.case)
    chosen = arguments.sections or SECTIONS
    if arguments.against is None:
        _say_of_peers()
        measured = {section: list(_rounds(section, arguments.rounds)) for section in chosen}
        rows = {section: _section(section).rows(measured[section]) for section in chosen}
    else:
        measured, rows = _compare(chosen, arguments.rounds, arguments.against, arguments.of)
    print(render(rows))
    print(f"\nwritten to {_write(measured, rows)}")
    return 0 if all(row.verdict in ("met", "") for found in rows.values() for row in found) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the framework against its targets; 1 if one is missed.")
    parser.add_argument(
        "sections", nargs="*", metavar="section", help=f"of {', '.join(SECTIONS)}; all if none is named"
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each case takes its turn (%(default)s)")
    parser.add_argument("--against", metavar="COMMIT", help="compare with an older commit, measured in the same run")
    parser.add_argument("--of", metavar="COMMIT", help="the newer commit for --against, and not this checkout")
    parser.add_argument("--case", nargs=2, metavar=("SECTION", "CASE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - set(SECTIONS):
        parser.error(f"there is no section {', '.join(sorted(unknown))}; there is {', '.join(SECTIONS)}")
    if arguments.of is not None and arguments.against is None:
        parser.error("--of needs --against, the older commit")
    if arguments.against is not None and (others := set(arguments.sections) - _compared().keys()):
        parser.error(f"--against does not compare {', '.join(sorted(others))}; it compares {', '.join(_compared())}")
    return arguments


def _compared() -> dict[str, against.Figures]:
    """The sections that `--against` compares, and their figures."""
    found = {each: getattr(_section(each), "COMPARED", None) for each in SECTIONS}
    return {section: figures for section, figures in found.items() if figures is not None}


def _section(name: str) -> Any:
    return import_module(f"sections.{name}")


# ---- in the process of one case ------------------------------------------------------------------------------------


def _measure_here(section: str, case: str) -> int:
    pin(MEASURED)
    found = _section(section).CASES[case]()
    print(f"{_MARK}{json.dumps(found)}", flush=True)
    # Some peers never finish ending, and there is nothing left to save.
    os._exit(0)


# ---- in the process that sees to it all ----------------------------------------------------------------------------


def _rounds(section: str, count: int) -> Iterator[dict[str, dict[str, float]]]:
    """Return what the cases of a section measure in turns. A case that fails is reported once and left out."""
    pythons = dict(_pythons(section))
    for number in range(count):
        print(f"{section}: round {number + 1} of {count}, {len(pythons)} cases", file=sys.stderr)
        measured: dict[str, dict[str, float]] = {}
        for case, python in list(pythons.items()):
            try:
                measured[case] = _measure(python, section, case)
            except RuntimeError as error:
                print(f"{section}: the case {case!r} failed and is left out: {error}", file=sys.stderr)
                del pythons[case]
        yield measured


def _pythons(section: str) -> Iterator[tuple[str, str]]:
    """Return each case with its interpreter. Cases of peers need the peers' environments."""
    inside: Mapping[str, str] = getattr(_section(section), "PEERS", {})
    beside: Mapping[str, str] = getattr(_section(section), "STARTED", {})
    for case in _section(section).CASES:
        if case in inside:
            if python := python_of(inside[case]):
                yield case, str(python)
        elif case not in beside or python_of(beside[case]):
            yield case, sys.executable


def _compare(
    sections: Sequence[str], count: int, commit: str, newer: str | None
) -> tuple[dict[str, list[dict[str, Mapping[str, float]]]], dict[str, list[Row]]]:
    """Return what the sections measure of an older and a newer commit, and the rows that compare them."""
    figures = {section: compared for section, compared in _compared().items() if section in sections}
    measured: dict[str, list[dict[str, Mapping[str, float]]]] = {each: [] for each in figures}
    with against.sides(commit, newer) as pair:
        for number in range(count):
            for section, compared in figures.items():
                print(f"{section}: round {number + 1} of {count}, against {commit}", file=sys.stderr)

                def measure(bench: Path, env: Mapping[str, str], case: str, section: str = section) -> dict[str, float]:
                    return _measure(sys.executable, section, case, bench=bench, env=env)

                measured[section].append(against.round_of(pair, compared, measure, number))
    return measured, {each: against.rows(measured[each], figures[each], commit) for each in figures}


def _say_of_peers() -> None:
    if FOLDER not in os.environ:
        print(f"{FOLDER} names no folder with environments of peers: measuring without them.", file=sys.stderr)


def _measure(
    python: str, section: str, case: str, *, bench: Path = HERE, env: Mapping[str, str] | None = None
) -> dict[str, float]:
    command = [python, str(bench / "run.py"), "--case", section, case]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False, env=env)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"it takes longer than {_SECONDS} s") from error
    for line in ran.stdout.splitlines():
        if line.startswith(_MARK):
            found: dict[str, float] = json.loads(line.removeprefix(_MARK))
            return found
    raise RuntimeError(ran.stderr.strip()[-1500:] or f"it ended with {ran.returncode}")


def _write(measured: Mapping[str, Any], rows: Mapping[str, Sequence[Row]]) -> Path:
    now = datetime.now(UTC)
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    told = {
        "at": now.isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "rows": {section: [row.to_json() for row in found] for section, found in rows.items()},
        "rounds": measured,
    }
    path = folder / f"{now:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(told, indent=1), encoding="utf-8")
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    sys.exit(main())
