"""`rtvi plugins`: what is installed, without importing any of it, and with `--load` which of it works.

With `--available`, it lists all plugins that can be installed, each with its command.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from attrs import asdict, frozen

from ..cli import FAILED, OK
from ..registry.installed_plugins import EntryPoint, Installed
from ..utils.install_hint import PLUGINS, available, install_command_of_plugin
from .describe import table_lines

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
    if chosen.available:
        found = list(_available(Installed()))
        sys.stdout.write(_available_json(found) if chosen.json else _available_text(found))
        return OK
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


# ---- available plugins ---------------------------------------------------------------------------------------------


@frozen
class Available:
    """A plugin that can be installed. `install` is the command, or None if it is installed."""

    name: str
    distribution: str
    bridged: bool
    install: str | None


def _available(installed: Installed) -> Iterator[Available]:
    """Yield the installed plugins, and those that this project knows, by name."""
    here = {entry.name: entry for entry in installed.entries}
    known = available()
    for name in sorted(known.keys() | here.keys()):
        entry = here.get(name)
        is_bridged = entry.bridged is not None if entry is not None else name not in PLUGINS
        distribution = entry.distribution if entry is not None else known[name]
        yield Available(name, distribution, is_bridged, None if entry is not None else install_command_of_plugin(name))


def _available_json(found: Iterable[Available]) -> str:
    return f"{json.dumps([asdict(each) for each in found], indent=2)}\n"


def _available_text(found: Iterable[Available]) -> str:
    rows = [(each.name, "bridged" if each.bridged else "", each.install or "installed") for each in found]
    note = "Run the commands in the checkout of rtvi-plugins, which is not published yet."
    return "\n".join([*table_lines([("PLUGIN", "", "COMMAND"), *rows]), "", note, ""])


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
