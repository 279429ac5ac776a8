"""`rtvi plugins`: what is installed, without importing any of it, and with `--load` what of it is broken."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stdout

from attrs import asdict, frozen

from .._plugins import Entry, Installed
from ..errors import PluginError
from . import FAILED, OK

__all__ = ("run",)


@frozen
class Row:
    """One plugin module, as it is listed. `broken` is the reason, or None for what works or was not tried."""

    kind: str | None
    provider: str
    qualified: str
    ambiguous: bool
    module: str
    distribution: str
    version: str
    api: Sequence[str]
    broken: str | None

    def cells(self) -> tuple[str, ...]:
        """The row of the table for people."""
        notes = [f"write {self.qualified!r}"] * self.ambiguous + ["broken"] * (self.broken is not None)
        version = self.version or "?"
        return self.kind or "-", self.provider, self.distribution, version, ", ".join(self.api), "; ".join(notes)


def run(chosen: Namespace) -> int:
    """List the plugins. The exit code tells whether one is broken."""
    rows = list(_rows(Installed(), load=chosen.load))
    sys.stdout.write(_json(rows) if chosen.json else _text(rows))
    return FAILED if chosen.load and any(row.broken for row in rows) else OK


def _rows(installed: Installed, *, load: bool) -> Iterator[Row]:
    named = Counter(entry.name for entry in installed.entries)
    for entry in installed.entries:
        yield Row(
            entry.kind,
            entry.provider,
            entry.qualified,
            named[entry.name] > 1,
            entry.module,
            entry.distribution,
            entry.version,
            tuple(entry.api),
            _broken(installed, entry) if load else entry.unfit,
        )


def _broken(installed: Installed, entry: Entry) -> str | None:
    try:
        with redirect_stdout(sys.stderr):  # what a plugin prints while it is imported is not our output
            installed.load(entry)
    except PluginError:
        return installed.broken[entry.module]
    return None


# ---- showing -------------------------------------------------------------------------------------------------------


def _json(rows: Iterable[Row]) -> str:
    return f"{json.dumps([asdict(row) for row in rows], indent=2)}\n"


def _text(rows: Sequence[Row]) -> str:
    if not rows:
        return "No plugin is installed.\n"
    table = [("KIND", "PROVIDER", "DISTRIBUTION", "VERSION", "API", ""), *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(map(str.ljust, cells, widths)).rstrip() for cells in table]
    reasons = [f"{row.kind or 'plugin'} {row.qualified}: {row.broken}" for row in rows if row.broken]
    return "\n".join([*lines, *([""] if reasons else []), *reasons, ""])
