"""List the installed plugins from their entry points without importing them. Import one when it is needed.

A plugin has an entry point in the group `rtvi_plugins`. Its name is `<kind>.<provider>`, or a name without a dot if the
module contains only actions and hooks. A bridge has one in the group `rtvi_plugins.bridges`: a function that lists its
providers. The group `rtvi_plugins.api` names the version of the plugin API.

A plugin can also be imported in a process of its own. One that hangs, ends its process or crashes affects nothing else.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from attrs import define, evolve, field, frozen

from ..bridges import BridgedProvider
from ..errors import PluginError
from ..utils.blocked_threads import SLOW_IMPORT_SECONDS, warn_when_slow
from ..utils.error_texts import shorten
from ..utils.install_hint import hint_of_missing
from ..utils.plugin_calls import reraise_control_flow
from .distribution_metadata import API_GROUP, BRIDGES, GROUP, distributions

__all__ = ("API", "LONGEST_IMPORT", "EntryPoint", "Installed", "discover", "find_entry", "missing_module", "run_apart")

#: The version of the plugin API. It changes when older plugins no longer work.
API = "1"


@frozen
class EntryPoint:
    """An installed module, read from the metadata of its distribution."""

    name: str
    module: str
    distribution: str
    version: str
    api: tuple[str, ...] = (API,)
    #: What its bridge has listed. None: an entry point of its own.
    bridged: BridgedProvider | None = None
    #: Why its bridge cannot list its providers.
    problem: str | None = None

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
            return f"its entry point names {module!r}, which is not a module."
        if not self.api:
            line = f'[project.entry-points."{API_GROUP}"] {API} = "{module.partition(".")[0]}"'
            return f"it names no version of the plugin API; add {line} to its pyproject.toml."
        if API not in self.api:
            newer = all(each.isdecimal() and int(each) > int(API) for each in self.api)
            how = "Update rtvi-plugins, or install an older version of the plugin." if newer else "Update the plugin."
            return f"it was built for version {', '.join(self.api)} of the plugin API, and this is version {API}. {how}"
        return self.problem

    @property
    def qualified(self) -> str:
        """Return the name with its distribution. It is needed if two distributions offer the same name."""
        return f"{self.distribution}:{self.provider}"


# ---- listing -------------------------------------------------------------------------------------------------------


def discover(path: Sequence[str] | None = None) -> tuple[EntryPoint, ...]:
    """Return every installed plugin module, sorted by name. Import only bridges, to list their providers."""
    entries: list[EntryPoint] = []
    for distribution, version, groups in distributions(path):
        api = tuple(groups.get(API_GROUP, ()))
        for name, module in groups.get(GROUP, {}).items():
            entries.append(EntryPoint(name, module, distribution, version, api))
        for name, function in groups.get(BRIDGES, {}).items():
            entries.extend(_entries_of_bridge(EntryPoint(name, function, distribution, version, api)))
    return tuple(sorted(entries, key=lambda entry: (entry.name, entry.distribution)))


def _entries_of_bridge(bridge: EntryPoint) -> list[EntryPoint]:
    """Return the providers that a bridge lists; the bridge itself, with the reason, if it cannot."""
    module, _, function = bridge.module.partition(":")
    bridge = evolve(bridge, module=module)
    if bridge.unfit is not None:
        return [bridge]
    if not function.isidentifier():
        return [evolve(bridge, problem=f"its entry point must name a function: write '{module}:providers'.")]
    try:
        listed: Iterable[BridgedProvider] = getattr(import_module(module), function)()
        return [_bridged_entry(bridge, each) for each in listed]
    except BaseException as error:
        reraise_control_flow(error)
        return [evolve(bridge, problem=_import_failure(error))]


def _bridged_entry(bridge: EntryPoint, listed: object) -> EntryPoint:
    if not isinstance(listed, BridgedProvider):
        raise TypeError(f"it lists a {type(listed).__name__}, which is not a BridgedProvider.")
    # A name of its own for each, below the bridge's package: the package says whose it is.
    own = "".join(each if each.isalnum() else "_" for each in listed.name)
    return evolve(bridge, name=listed.name, module=f"{bridge.module}.{own}", bridged=listed)


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
        return self._only_entry(f"{kind} provider", name, offered, f"{kind}.{name}", kind)

    def module(self, name: str) -> EntryPoint:
        """Return the entry point of a module of actions or hooks by name. Raise `PluginError` if there is none."""
        return self._only_entry("plugin", name, [entry for entry in self.entries if entry.kind is None], name)

    def _only_entry(
        self, what: str, name: str, offered: Sequence[EntryPoint], entry_name: str, kind: str | None = None
    ) -> EntryPoint:
        matching = [entry for entry in offered if name in (entry.provider, entry.qualified)]
        if not matching:
            known = [each.provider for each in offered]
            hint = self._mistaken(entry_name, kind) or hint_of_missing(name, known, entry_name)
            raise PluginError(f"No {what} {name!r} is installed. {hint}")
        if len(matching) > 1:
            listed = " and ".join(repr(entry.qualified) for entry in matching)
            raise PluginError(
                f"Several distributions offer the {what} {name!r}. Write {listed.replace(' and ', ' or ')}."
            )
        return matching[0]

    def _mistaken(self, name: str, kind: str | None) -> str | None:
        """Return how to correct the name of an entry point that seems to be meant; None if there is no such one."""
        if kind is None:
            is_provider = any(each.name == name and each.kind for each in self.entries)
            return f"{name!r} is a provider. Write it in services= of the bot." if is_provider else None
        provider = name.partition(".")[2]
        meant = (provider, f"{provider}.{kind}", f"{kind}_{provider}", f"{kind}-{provider}")
        for each in self.entries:
            if each.name in meant or (each.name.lower() == name and each.kind != kind):
                return f"{each.distribution} has the entry point {each.name!r}. That of a provider is named {name!r}."
        return None

    def load(self, entry: EntryPoint) -> ModuleType:
        """Import a module. If that fails, record it as broken and raise `PluginError` with the reason."""
        if entry.module in self._loaded:
            return self._loaded[entry.module]
        if entry.module not in self.broken:
            self._import_plugin(entry)
        if entry.module in self._loaded:
            return self._loaded[entry.module]
        reason = self.broken[entry.module]
        raise PluginError(f"The plugin {entry.name!r} of {entry.distribution} {entry.version} cannot be used: {reason}")

    def _import_plugin(self, entry: EntryPoint) -> None:
        if entry.unfit is not None:
            self.broken[entry.module] = entry.unfit
            return
        what = f"the import of the plugin {entry.name!r} of {entry.distribution}"
        try:
            with warn_when_slow(what, SLOW_IMPORT_SECONDS):
                made = entry.bridged.make_module(entry.module) if entry.bridged else import_module(entry.module)
                self._loaded[entry.module] = made
        except BaseException as error:
            reraise_control_flow(error)
            self.broken[entry.module] = _import_failure(error)


def _import_failure(error: BaseException) -> str:
    """What went wrong at import, and where, unless it says so itself: the last line that ran and is not ours."""
    reason = f"{type(error).__name__}: {error}"
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not _is_framework_file(each.filename)]
    if not frames or frames[-1].filename in reason:
        return reason
    return f"{reason} ({frames[-1].filename}:{frames[-1].lineno})"


def _is_framework_file(file: str) -> bool:
    return "importlib" in file or file.startswith("<") or Path(__file__).parents[1] in Path(file).parents


#: A plugin that is not imported by then hangs, in seconds.
LONGEST_IMPORT: Final = 60.0


def run_apart(code: str, entry: EntryPoint, timeout: float = LONGEST_IMPORT) -> dict[str, Any] | str:
    """Run Python code that reads the `path` of this process and the entry point from stdin, as JSON.

    Return the JSON object that it prints, or why it has printed none.
    """
    sent = json.dumps({"path": sys.path, "name": entry.name, "distribution": entry.distribution})
    command = [sys.executable, "-c", code]
    try:
        done = subprocess.run(command, input=sent, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return f"its import takes more than {timeout:g} seconds"
    try:
        printed: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
        return f"its import ended the process with exit code {done.returncode} ({shorten(last)})"
    return printed


def find_entry(installed: Installed, sent: Mapping[str, Any]) -> EntryPoint:
    """Return the entry point that `run_apart` has sent, in the process that it has started."""
    return next(
        entry for entry in installed.entries if (entry.name, entry.distribution) == (sent["name"], sent["distribution"])
    )


def missing_module(reason: str) -> str | None:
    """Return the module that an import did not find, from the reason why it failed."""
    missing = re.match(r"ModuleNotFoundError: No module named '([^']+)'", reason)
    return missing[1] if missing else None
