"""Compare an older commit with this checkout, or with another commit: `run.py … --against COMMIT [--of COMMIT]`.

Each side uses its own benches. If a case has changed between them, the comparison is of different work.
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
#: The highest ratio of our figure to the older commit's.
TARGET = 1.05
#: The name of the older side in the figures.
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
        """Return the environment, in which its sources come before the installed ones."""
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
    """Return rows with the ratios of our figures to the older commit's."""
    return [_row(rounds, case, key, commit) for case, keys in figures.items() for key in keys]


def _row(rounds: Rounds, case: str, key: str, commit: str) -> Row:
    times = ratio(rounds, case, f"{_BEFORE}{case}", key)
    detail = f"{middle(rounds, case, key):.4g}, {commit} {middle(rounds, f'{_BEFORE}{case}', key):.4g}"
    return Row(f"{case}, {key}, over {commit}", times, "x", TARGET, detail=detail)
