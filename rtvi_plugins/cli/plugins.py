"""`rtvi plugins`: what is installed, without importing any of it, and with `--load` which of it works."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from attrs import asdict, frozen

from ..cli import FAILED, OK
from ..registry.installed import EntryPoint, Installed
from .description import table_lines

__all__ = ("run",)


@frozen
class Row:
    """One plugin module, as it is listed. It works if it was `loaded`; `broken` is why it does not, if that is known.

    `unnamed` are the services that it declares and that no entry point offers. `bridge` is the note of the bridge that
    lists it; None if it has an entry point of its own.
    """

    kind: str | None
    provider: str
    qualified: str
    ambiguous: bool
    module: str
    distribution: str
    version: str
    api: Sequence[str]
    broken: str | None
    loaded: bool
    unnamed: Sequence[str]
    bridge: str | None

    def cells(self) -> tuple[str, ...]:
        """Return the row of the table for people."""
        state = ["bridged"] * (self.bridge is not None) + ["broken"] * (self.broken is not None)
        state += ["loaded"] * self.loaded
        notes = [f"write {self.qualified!r}"] * self.ambiguous + state
        version = self.version or "?"
        return self.kind or "-", self.provider, self.distribution, version, ", ".join(self.api), "; ".join(notes)

    def remarks(self) -> Iterator[str]:
        """Yield the notes about it below the table."""
        name = f"{self.kind or 'plugin'} {self.qualified}"
        if self.broken is not None:
            yield f"{name}: {self.broken}"
        for each in self.unnamed:
            yield f"{name}: it declares the service {each}, which no bot can name; call the entry point {each!r}."


def run(chosen: Namespace) -> int:
    """List the plugins. The exit code says whether one is broken."""
    rows = list(_rows(Installed(), load=chosen.load))
    sys.stdout.write(_json(rows) if chosen.json else _text(rows))
    return FAILED if chosen.load and any(row.broken for row in rows) else OK


def _rows(installed: Installed, *, load: bool) -> Iterator[Row]:
    named = Counter(entry.name for entry in installed.entries)
    for entry in installed.entries:
        broken, unnamed = _load(installed, entry) if load else (entry.unfit, ())
        yield Row(
            entry.kind,
            entry.provider,
            entry.qualified,
            named[entry.name] > 1,
            entry.module,
            entry.distribution,
            entry.version,
            entry.api,
            broken,
            load and broken is None,
            unnamed,
            entry.bridged.note if entry.bridged is not None else None,
        )


def _load(installed: Installed, entry: EntryPoint) -> tuple[str | None, Sequence[str]]:
    """Why a plugin cannot be used, if so, and the services that it declares for nobody."""
    from .plugin_probe import import_plugin  # here: a list alone does not need it

    found = import_plugin(installed, entry)
    return found.broken, found.unnamed


# ---- showing -------------------------------------------------------------------------------------------------------


def _json(rows: Iterable[Row]) -> str:
    return f"{json.dumps([asdict(row) for row in rows], indent=2)}\n"


def _text(rows: Sequence[Row]) -> str:
    if not rows:
        return "No plugin is installed.\n"
    table = [("KIND", "PROVIDER", "DISTRIBUTION", "VERSION", "API", ""), *(row.cells() for row in rows)]
    remarks = [remark for row in rows for remark in row.remarks()]
    remarks += dict.fromkeys(f"{row.distribution}: {row.bridge}" for row in rows if row.bridge)
    return "\n".join([*table_lines(table), *([""] if remarks else []), *remarks, ""])
