"""Read the metadata folders of installed distributions: names, versions and entry points.

Only `entry_points.txt` is read. `importlib.metadata` would double the start-up time of the command line, mostly because
it imports `email`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ("API_GROUP", "BRIDGES", "COMMANDS", "GROUP", "commands", "distributions", "stale_metadata")

GROUP, API_GROUP, COMMANDS = "rtvi_plugins", "rtvi_plugins.api", "rtvi_plugins.commands"

#: Functions that list the providers of a bridge.
BRIDGES = "rtvi_plugins.bridges"

#: A distribution with one of these groups is a plugin of ours.
_PLUGIN_GROUPS = {GROUP, BRIDGES, COMMANDS}


def commands(path: Sequence[str] | None = None) -> Mapping[str, str]:
    """Return the subcommands of plugins: name to `module:function`, without importing any."""
    return {name: value for _, _, groups in distributions(path) for name, value in groups.get(COMMANDS, {}).items()}


def stale_metadata() -> Iterator[tuple[Path, str]]:
    """Yield the metadata folders of plugins that nothing uses, each with the distribution that it belongs to.

    They are what pip left behind when it was interrupted, and older versions beside the one that counts.
    """
    for folder in dict.fromkeys(sys.path):
        by_name: dict[str, list[Path]] = {}
        for info in _metadata_folders(folder or ".", left_behind=True):
            name = _name_and_version(info)[0]
            if not name.startswith("~"):
                by_name.setdefault(name, []).append(info)
            elif name.startswith("~tvi-plugins") or _has_plugin_entry_points(info):
                yield info, f"r{name[1:]}" if name.startswith("~tvi") else name
        for name, infos in sorted(by_name.items()):
            if len(infos) > 1 and any(map(_has_plugin_entry_points, infos)):
                used = max(infos, key=_install_order)
                yield from ((each, name) for each in infos if each != used)


def _has_plugin_entry_points(info: Path) -> bool:
    return bool(_read_entry_points(info).keys() & _PLUGIN_GROUPS)


def distributions(path: Sequence[str] | None) -> Iterator[tuple[str, str, dict[str, dict[str, str]]]]:
    """Yield the name, the version and the entry points by group of each distribution with plugins of ours."""
    seen: set[str] = set()
    for folder in dict.fromkeys(sys.path if path is None else path):
        by_name: dict[str, list[Path]] = {}
        for info in _metadata_folders(folder or "."):
            by_name.setdefault(_name_and_version(info)[0], []).append(info)
        for name, infos in sorted(by_name.items()):
            if name in seen:  # the first on the path is the one that would be imported
                continue
            seen.add(name)
            info = infos[0] if len(infos) == 1 else max(infos, key=_install_order)
            if (groups := _read_entry_points(info)).keys() & _PLUGIN_GROUPS:
                yield name, _name_and_version(info)[1] or _read_version(info), groups


def _metadata_folders(folder: str, *, left_behind: bool = False) -> list[Path]:
    try:
        with os.scandir(folder) as folder_entries:
            names = [entry.name for entry in folder_entries if entry.name.endswith((".dist-info", ".egg-info"))]
    except OSError:
        return []
    # pip renames what it is about to remove to a name that begins with "~", and may leave it behind.
    return [Path(folder, name) for name in sorted(names) if left_behind or not name.startswith("~")]


def _name_and_version(info: Path) -> tuple[str, str]:
    name, _, version = info.name.rpartition(".")[0].partition("-")
    return re.sub(r"[-_.]+", "-", name).lower(), version.partition("-")[0]


def _read_version(info: Path) -> str:
    """Return the version in the metadata of a folder without a version in its name."""
    lines = _metadata_text(info / "PKG-INFO").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("Version:")), "")


def _install_order(info: Path) -> tuple[Any, ...]:
    """Return a sort key for several metadata folders of one distribution. The last one is the installed one.

    A folder without metadata is left over and comes first. Then the newest version wins, and for equal versions the
    folder that was written last.
    """
    is_whole = info.is_file() or any((info / name).is_file() for name in ("METADATA", "PKG-INFO", "entry_points.txt"))
    try:
        written = info.stat().st_mtime
    except OSError:
        written = 0.0
    return is_whole, _version_order(_name_and_version(info)[1] or _read_version(info)), written, info.name


#: The order of the suffixes of versions. Those below 0 come before the version without a suffix.
_SUFFIX_ORDER = {"dev": -4, "a": -3, "b": -2, "rc": -1, "post": 1}


def _version_order(version: str) -> tuple[Any, ...]:
    """Return a sort key for versions, as installers write them into the names of folders (PEP 440)."""
    epoch, _, public_and_local = version.rpartition("!")
    public, _, local = public_and_local.partition("+")
    release = re.split(r"[^\d.]", public, maxsplit=1)[0]
    numbers = [int(number) for number in release.split(".") if number]
    while numbers and numbers[-1] == 0:  # 1.0 and 1 are equal
        numbers.pop()
    suffixes = [
        (_SUFFIX_ORDER.get(name, 0), int(number or 0))
        for name, number in re.findall(r"([a-z]+)(\d*)", public[len(release) :])
    ]
    return int(epoch) if epoch.isdecimal() else 0, numbers, [*suffixes, (0, 0)], local


def _metadata_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ""


def _read_entry_points(info: Path) -> dict[str, dict[str, str]]:
    groups: dict[str, dict[str, str]] = {}
    group: dict[str, str] = {}
    for line in _metadata_text(info / "entry_points.txt").splitlines():
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            group = groups.setdefault(line[1:-1].strip(), {})
        elif "=" in line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            group[name.strip()] = value.partition("[")[0].strip()
    return groups
