"""List the installed plugins from their entry points without importing them. Import one when it is needed.

A plugin has an entry point in the group `rtvi_plugins`. Its name is `<kind>.<provider>`, or a name without a dot if
the module contains only actions and hooks. The group `rtvi_plugins.api` names the version of the plugin API. Both are
in `entry_points.txt`, so only this file is read. `importlib.metadata` would double the start-up time of the command
line, mostly because it imports `email`.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from attrs import define, field, frozen

from ..errors import PluginError
from ..utils.blocked_threads import SLOW_IMPORT_SECONDS, warn_when_slow
from ..utils.control_flow import reraise_control_flow
from ..utils.diagnostics import nearest
from ..utils.install_hint import install_hint_of_plugin

__all__ = ("API", "COMMANDS", "EntryPoint", "Installed", "commands", "discover", "stale_metadata")

#: The version of the plugin API. It changes when older plugins no longer work.
API = "1"

GROUP, API_GROUP, COMMANDS = "rtvi_plugins", "rtvi_plugins.api", "rtvi_plugins.commands"


@frozen
class EntryPoint:
    """An installed module, read from the metadata of its distribution."""

    name: str
    module: str
    distribution: str
    version: str
    api: tuple[str, ...] = (API,)

    @property
    def kind(self) -> str | None:
        """Return the kind of service, or None for a module of actions and hooks."""
        return self.name.partition(".")[0] if "." in self.name else None

    @property
    def provider(self) -> str:
        return self.name.partition(".")[2] or self.name

    @property
    def unfit(self) -> str | None:
        """Return why it cannot be used, judged by its metadata only; None if it can."""
        module, colon, name = self.module.partition(":")
        if colon:
            return f"its entry point must name a module; leave out ':{name}'."
        if not all(each.isidentifier() for each in module.split(".")):
            return f"its entry point names {module!r}, which is no module."
        if not self.api:
            line = f'[project.entry-points."{API_GROUP}"] {API} = "{module.partition(".")[0]}"'
            return f"it names no version of the plugin API; add {line} to its pyproject.toml."
        if API not in self.api:
            return f"it was built for version {', '.join(self.api)} of the plugin API, and this is version {API}."
        return None

    @property
    def qualified(self) -> str:
        """Return the name with its distribution. It is needed if two distributions offer the same name."""
        return f"{self.distribution}:{self.provider}"


# ---- reading metadata ----------------------------------------------------------------------------------------------


def discover(path: Sequence[str] | None = None) -> tuple[EntryPoint, ...]:
    """Return every installed plugin module, sorted by name, without importing any."""
    entries: list[EntryPoint] = []
    for distribution, version, groups in _distributions(path):
        api = tuple(groups.get(API_GROUP, ()))
        for name, module in groups.get(GROUP, {}).items():
            entries.append(EntryPoint(name, module, distribution, version, api))
    return tuple(sorted(entries, key=lambda entry: (entry.name, entry.distribution)))


def commands(path: Sequence[str] | None = None) -> Mapping[str, str]:
    """Return the subcommands of plugins: name to `module:function`, without importing any."""
    return {name: value for _, _, groups in _distributions(path) for name, value in groups.get(COMMANDS, {}).items()}


def stale_metadata(path: Sequence[str] | None = None) -> Iterator[tuple[Path, str]]:
    """Yield the metadata folders of plugins that nothing uses, each with the distribution that it belongs to.

    They are what pip left behind when it was interrupted, and older versions beside the one that counts.
    """
    for folder in dict.fromkeys(sys.path if path is None else path):
        by_name: dict[str, list[Path]] = {}
        for info in _metadata_folders(folder or ".", left_behind=True):
            name = _name_and_version(info)[0]
            if not name.startswith("~"):
                by_name.setdefault(name, []).append(info)
            elif name.startswith("~tvi-plugins") or _has_plugins(info):
                yield info, f"r{name[1:]}" if name.startswith("~tvi") else name
        for name, infos in sorted(by_name.items()):
            if len(infos) > 1 and any(map(_has_plugins, infos)):
                used = max(infos, key=_age)
                yield from ((each, name) for each in infos if each != used)


def _has_plugins(info: Path) -> bool:
    return bool(_read_entry_points(info).keys() & {GROUP, COMMANDS})


def _distributions(path: Sequence[str] | None) -> Iterator[tuple[str, str, dict[str, dict[str, str]]]]:
    seen: set[str] = set()
    for folder in dict.fromkeys(sys.path if path is None else path):
        by_name: dict[str, list[Path]] = {}
        for info in _metadata_folders(folder or "."):
            by_name.setdefault(_name_and_version(info)[0], []).append(info)
        for name, infos in sorted(by_name.items()):
            if name in seen:  # the first on the path is the one that would be imported
                continue
            seen.add(name)
            info = infos[0] if len(infos) == 1 else max(infos, key=_age)
            if (groups := _read_entry_points(info)).keys() & {GROUP, COMMANDS}:
                yield name, _name_and_version(info)[1] or _read_version(info), groups


def _metadata_folders(folder: str, *, left_behind: bool = False) -> list[Path]:
    try:
        with os.scandir(folder) as found:
            names = [each.name for each in found if each.name.endswith((".dist-info", ".egg-info"))]
    except OSError:
        return []
    # pip renames what it is about to remove to a name that begins with "~", and may leave it behind.
    return [Path(folder, name) for name in sorted(names) if left_behind or not name.startswith("~")]


def _name_and_version(info: Path) -> tuple[str, str]:
    name, _, version = info.name.rpartition(".")[0].partition("-")
    return re.sub(r"[-_.]+", "-", name).lower(), version.partition("-")[0]


def _read_version(info: Path) -> str:
    """Return the version in the metadata of a folder without a version in its name."""
    lines = _read(info / "PKG-INFO").splitlines()
    return next((each.partition(":")[2].strip() for each in lines if each.startswith("Version:")), "")


def _age(info: Path) -> tuple[Any, ...]:
    """Return a sort key for several metadata folders of one distribution. The last one is the installed one.

    A folder without metadata is left over and comes first. Then the newest version wins, and for equal versions the
    folder that was written last.
    """
    is_whole = info.is_file() or any((info / name).is_file() for name in ("METADATA", "PKG-INFO", "entry_points.txt"))
    try:
        written = info.stat().st_mtime
    except OSError:
        written = 0.0
    return is_whole, _version_key(_name_and_version(info)[1] or _read_version(info)), written, info.name


#: The sort order of version suffixes. Negative ones come before the plain version.
_MARKS = {
    "dev": -4,
    "a": -3,
    "alpha": -3,
    "b": -2,
    "beta": -2,
    "c": -1,
    "rc": -1,
    "pre": -1,
    "post": 1,
    "rev": 1,
    "r": 1,
}


def _version_key(version: str) -> tuple[Any, ...]:
    """Return a sort key for versions. It follows PEP 440 as far as metadata folders need it."""
    epoch, mark, plain = version.lower().rpartition("!")
    plain, _, local = plain.partition("+")
    numbers = re.match(r"v?(\d+(?:[._]\d+)*)", plain)
    release = [int(each) for each in re.split(r"[._]", numbers[1])] if numbers else []
    while release and release[-1] == 0:
        release.pop()
    rest = plain[numbers.end() :] if numbers else plain
    marks = [(_MARKS.get(name, 0), int(number or 0)) for name, number in re.findall(r"([a-z]+)[._-]?(\d*)", rest)]
    return int(epoch) if mark and epoch.isdigit() else 0, release, [*marks, (0, 0)], local


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ""


def _read_entry_points(info: Path) -> dict[str, dict[str, str]]:
    groups: dict[str, dict[str, str]] = {}
    group: dict[str, str] = {}
    for line in _read(info / "entry_points.txt").splitlines():
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            group = groups.setdefault(line[1:-1].strip(), {})
        elif "=" in line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            group[name.strip()] = value.partition("[")[0].strip()
    return groups


# ---- choosing and loading ------------------------------------------------------------------------------------------


@define
class Installed:
    """The installed plugins. Records which were loaded and which are broken, with the reason."""

    entries: tuple[EntryPoint, ...] = field(factory=discover)
    _loaded: dict[str, ModuleType] = field(factory=dict[str, ModuleType])
    broken: dict[str, str] = field(factory=dict[str, str])

    def provider(self, kind: str, name: str) -> EntryPoint:
        """Return the entry point of a provider by name or qualified name. Raise `PluginError` if none or several."""
        offered = [entry for entry in self.entries if entry.kind == kind]
        return self._one(f"{kind} provider", name, offered, f"{kind}.{name}")

    def module(self, name: str) -> EntryPoint:
        """Return the entry point of a module of actions or hooks by name. Raise `PluginError` if there is none."""
        return self._one("plugin", name, [entry for entry in self.entries if entry.kind is None], name)

    def _one(self, what: str, name: str, offered: Sequence[EntryPoint], entry_name: str) -> EntryPoint:
        found = [entry for entry in offered if name in (entry.provider, entry.qualified)]
        if not found:
            raise PluginError(f"No {what} {name!r} is installed. {_hint(name, offered, entry_name)}")
        if len(found) > 1:
            listed = " and ".join(repr(entry.qualified) for entry in found)
            raise PluginError(
                f"Several distributions offer the {what} {name!r}. Write {listed.replace(' and ', ' or ')}."
            )
        return found[0]

    def load(self, entry: EntryPoint) -> ModuleType:
        """Import a module. If that fails, record it as broken and raise `PluginError` with the reason."""
        if entry.module in self._loaded:
            return self._loaded[entry.module]
        if entry.module not in self.broken:
            self._import(entry)
        if entry.module in self._loaded:
            return self._loaded[entry.module]
        reason = self.broken[entry.module]
        raise PluginError(f"The plugin {entry.name!r} of {entry.distribution} {entry.version} cannot be used: {reason}")

    def _import(self, entry: EntryPoint) -> None:
        if entry.unfit is not None:
            self.broken[entry.module] = entry.unfit
            return
        what = f"the import of the plugin {entry.name!r} of {entry.distribution}"
        try:
            with warn_when_slow(what, SLOW_IMPORT_SECONDS):
                self._loaded[entry.module] = import_module(entry.module)
        except BaseException as error:
            reraise_control_flow(error)
            self.broken[entry.module] = _reason(error)


def _hint(name: str, offered: Iterable[EntryPoint], entry_name: str) -> str:
    own = install_hint_of_plugin(entry_name)
    if own is not None:
        return own[0].upper() + own[1:]
    names = [entry.provider for entry in offered]
    near = nearest(name.rpartition(":")[2], names)
    if near is not None:
        return f"Did you mean {near!r}?"
    listed = f"Installed: {', '.join(dict.fromkeys(names))}. " if names else ""
    distribution, colon, _ = name.rpartition(":")
    return f"{listed}Is there a package {distribution if colon else f'rtvi-plugins-{name}'}?"


def _reason(error: BaseException) -> str:
    """What went wrong at import, and where, unless it says so itself: the last line that ran and is not ours."""
    reason = f"{type(error).__name__}: {error}"
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not _is_ours(each.filename)]
    if not frames or frames[-1].filename in reason:
        return reason
    return f"{reason} ({frames[-1].filename}:{frames[-1].lineno})"


def _is_ours(file: str) -> bool:
    return "importlib" in file or Path(__file__).parents[1] in Path(file).parents
