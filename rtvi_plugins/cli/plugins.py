"""`rtvi plugins`: what is installed, without importing any of it, and with `--load` which of it works.

With `--available`, it lists all plugins that can be installed, each with its command.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Sequence

from attrs import asdict, frozen

from ..registry.installed_plugins import Installed
from ..utils.install_hint import PLUGINS, available, install_command_of_plugin
from .description_text import table_lines
from .failures import FAILED, OK

__all__ = ("run",)


@frozen
class InstalledPlugin:
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


@frozen
class AvailablePlugin:
    """A plugin that can be installed. `install` is the command, or None if it is installed."""

    name: str
    distribution: str
    bridged: bool
    install: str | None


def run(chosen: Namespace) -> int:
    """List the plugins. The exit code says whether one is broken."""
    installed = Installed()
    if chosen.available:
        offered = list(_available_plugins(installed))
        sys.stdout.write(_json(offered) if chosen.json else _available_text(offered))
        return OK
    plugins = list(_installed_plugins(installed, load=chosen.load))
    sys.stdout.write(_json(plugins) if chosen.json else _installed_text(plugins))
    return FAILED if chosen.load and any(plugin.broken for plugin in plugins) else OK


def _installed_plugins(installed: Installed, *, load: bool) -> Iterator[InstalledPlugin]:
    named = Counter(entry.name for entry in installed.entries)
    for entry in installed.entries:
        broken = entry.unfit
        unnamed: Sequence[str] = ()
        if load:
            from .plugin_probe import import_plugin  # here: a list alone does not need it

            probed = import_plugin(installed, entry)
            broken, unnamed = probed.broken, probed.unnamed
        yield InstalledPlugin(
            kind=entry.kind,
            provider=entry.provider,
            qualified=entry.qualified,
            ambiguous=named[entry.name] > 1,
            module=entry.module,
            distribution=entry.distribution,
            version=entry.version,
            api=entry.api,
            broken=broken,
            loaded=load and broken is None,
            unnamed=unnamed,
            bridge=entry.bridged.note if entry.bridged is not None else None,
        )


def _available_plugins(installed: Installed) -> Iterator[AvailablePlugin]:
    """Yield the installed plugins, and those that this project knows, by name."""
    entries = {entry.name: entry for entry in installed.entries}
    known = available()
    for name in sorted(known.keys() | entries.keys()):
        if (entry := entries.get(name)) is not None:
            yield AvailablePlugin(name, entry.distribution, entry.bridged is not None, None)
        else:
            yield AvailablePlugin(name, known[name], name not in PLUGINS, install_command_of_plugin(name))


def _json(plugins: Sequence[InstalledPlugin] | Sequence[AvailablePlugin]) -> str:
    return f"{json.dumps([asdict(plugin) for plugin in plugins], indent=2)}\n"


def _available_text(plugins: Sequence[AvailablePlugin]) -> str:
    rows = [(plugin.name, "bridged" * plugin.bridged, plugin.install or "installed") for plugin in plugins]
    note = "Run the commands in the checkout of rtvi-plugins, which is not published yet."
    return "\n".join([*table_lines([("PLUGIN", "", "COMMAND"), *rows]), "", note, ""])


def _installed_text(plugins: Sequence[InstalledPlugin]) -> str:
    if not plugins:
        return "No plugin is installed.\n"
    table = [("KIND", "PROVIDER", "DISTRIBUTION", "VERSION", "API", ""), *map(_cells, plugins)]
    remarks = [remark for plugin in plugins for remark in _remarks(plugin)]
    remarks += dict.fromkeys(f"{plugin.distribution}: {plugin.bridge}" for plugin in plugins if plugin.bridge)
    return "\n".join([*table_lines(table), *([""] if remarks else []), *remarks, ""])


def _cells(plugin: InstalledPlugin) -> tuple[str, ...]:
    notes = {
        f"write {plugin.qualified!r}": plugin.ambiguous,
        "bridged": plugin.bridge is not None,
        "broken": plugin.broken is not None,
        "loaded": plugin.loaded,
    }
    noted = "; ".join(note for note, holds in notes.items() if holds)
    version, api = plugin.version or "?", ", ".join(plugin.api)
    return plugin.kind or "-", plugin.provider, plugin.distribution, version, api, noted


def _remarks(plugin: InstalledPlugin) -> Iterator[str]:
    """Yield the notes about a plugin below the table."""
    name = f"{plugin.kind or 'plugin'} {plugin.qualified}"
    if plugin.broken is not None:
        yield f"{name}: {plugin.broken}"
    for service in plugin.unnamed:
        yield f"{name}: it declares the service {service}, which no bot can name; call the entry point {service!r}."
