"""Measure an older commit beside this checkout, or another one, in turns: `run.py … --against COMMIT [--of COMMIT]`.

Each side is measured by its own benches, so a case that has changed meanwhile compares different work.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from table import Rounds, Row, middle, ratio

ROOT = Path(__file__).resolve().parents[1]
#: How many times the older commit's figure ours may be.
TARGET = 1.05
#: The name of the older side in what is measured.
_BEFORE = "before: "

#: Measures one case: `measure(bench folder, environment, case)`.
Measure = Callable[[Path, Mapping[str, str], str], Mapping[str, float]]
#: The figures that are compared, by case.
Figures = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Side:
    """A folder with sources, and their benches."""

    folder: Path

    @property
    def bench(self) -> Path:
        return self.folder / "bench"

    @property
    def environment(self) -> Mapping[str, str]:
        """Its sources stand before those that are installed."""
        sources = [self.folder, *sorted(self.folder.glob("plugins/*/src"))]
        return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, sources))}


@contextmanager
def sides(before: str, now: str | None) -> Generator[tuple[Side, Side]]:
    """The sources of two commits. None is this checkout with its uncommitted changes."""
    with _side(before) as older, _side(now) as newer:
        yield older, newer


@contextmanager
def _side(commit: str | None) -> Generator[Side]:
    if commit is None:
        yield Side(ROOT)
        return
    packed = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode:
        raise SystemExit(f"{commit}: {packed.stderr.decode().strip()}")
    with TemporaryDirectory(prefix="rtvi-bench-") as folder:
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as tar:
            tar.extractall(folder, filter="data")
        yield Side(Path(folder))


def round_of(
    pair: tuple[Side, Side], figures: Figures, measure: Measure, number: int
) -> dict[str, Mapping[str, float]]:
    """Measure each case on both sides. In each round, the other side is first."""
    found: dict[str, Mapping[str, float]] = {}
    for case in figures:
        named = list(zip((_BEFORE, ""), pair, strict=True))
        for name, side in named if number % 2 else reversed(named):
            found[f"{name}{case}"] = measure(side.bench, side.environment, case)
    return found


def rows(rounds: Rounds, figures: Figures, commit: str) -> list[Row]:
    """How many times the older commit's figures ours are."""
    return [_row(rounds, case, key, commit) for case, keys in figures.items() for key in keys]


def _row(rounds: Rounds, case: str, key: str, commit: str) -> Row:
    times = ratio(rounds, case, f"{_BEFORE}{case}", key)
    detail = f"{middle(rounds, case, key):.4g}, {commit} {middle(rounds, f'{_BEFORE}{case}', key):.4g}"
    return Row(f"{case}, {key}, over {commit}", times, "x", TARGET, detail=detail)
