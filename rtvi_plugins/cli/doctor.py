"""`rtvi doctor`: find what is wrong with an installation or a bot, and how to fix it.

Plugins are imported in processes of their own. The bot is imported in this process.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from argparse import Namespace
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from importlib.util import find_spec
from typing import Any, Final, Literal

from attrs import asdict, frozen

from ..errors import PluginError
from ..hosting import Host
from ..loading import bot_spec
from ..registry.distribution_metadata import stale_metadata
from ..registry.installed_plugins import API, EntryPoint, Installed
from ..registry.key_store import KeyStore, NoKeyring
from ..utils.blocked_threads import SLOW_IMPORT_SECONDS
from ..utils.install_hint import install_hint
from ..utils.secrets import scrub
from .command_line import load
from .description_text import table_lines
from .failures import FAILED, OK
from .plugin_probe import Probed, probe

__all__ = ("Finding", "run")

#: The optional parts of the core, with the modules that each needs.
_PARTS: Final = {
    "voice": ("numpy", "soxr"),
    "numbers": ("babel", "unicode_rbnf"),
    "microphone": ("numpy", "soxr", "sounddevice"),
    "encryption": ("cryptography",),
}


@frozen
class Finding:
    """One thing that is wrong. `fix` says what to do, with a command."""

    check: str
    about: str
    what: str
    fix: str
    level: Literal["broken", "warning"] = "broken"


def run(chosen: Namespace) -> int:
    """Print the report. The exit code says whether something is broken."""
    installed = Installed()
    of_bot: list[Finding] = []
    if chosen.bot is not None:  # before the plugins, which take long: the name of the bot may be a typing mistake
        with redirect_stdout(sys.stderr):  # what a bot prints while it is imported is not our output
            of_bot += _of_bot(chosen.bot, chosen.env, installed)
    fit = [each for each in installed.entries if each.unfit is None]
    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        results = dict(zip(fit, threads.map(probe, fit), strict=True))
    plugins = [(entry, results.get(entry) or Probed(entry.unfit)) for entry in installed.entries]
    findings = [
        *_key_store(),
        *_stale(),
        *_conflicts(installed.entries),
        *(finding for entry, probed in plugins for finding in _of_plugin(entry, probed)),
        *of_bot,
    ]
    findings.sort(key=lambda finding: finding.level != "broken")
    stored = _stored_keys()
    report = {
        "version": chosen.version,
        "api": API,
        "python": platform.python_version(),
        "parts": {part: all(map(_is_installed, needed)) for part, needed in _PARTS.items()},
        "plugins": [_described(entry, probed, stored) for entry, probed in plugins],
        "findings": [asdict(finding) for finding in findings],
    }
    text = f"{json.dumps(report, indent=2)}\n" if chosen.json else _text(report)
    sys.stdout.write(scrub(text))  # an exception of a plugin may quote a key of the environment
    return FAILED if any(finding.level == "broken" for finding in findings) else OK


def _is_installed(module: str) -> bool:
    return find_spec(module) is not None


def _described(entry: EntryPoint, probed: Probed, stored: Collection[str]) -> dict[str, Any]:
    return {
        "name": entry.name,
        "distribution": entry.distribution,
        "version": entry.version,
        "api": entry.api,
        "broken": probed.broken,
        "import_seconds": probed.seconds,
        "missing_keys": [key for key in probed.keys if not os.environ.get(key) and key not in stored],
    }


# ---- the installation ----------------------------------------------------------------------------------------------


def _stale() -> Iterator[Finding]:
    for folder, distribution in stale_metadata():
        left = folder.name.startswith("~")
        what = "pip left it behind when it was interrupted" if left else "another version of it lies beside this one"
        yield Finding("stale-metadata", distribution, f"{folder} is not used: {what}.", _remove(str(folder)), "warning")


def _key_store() -> Iterator[Finding]:
    store = KeyStore(os.environ)
    try:
        store.check()
    except NoKeyring as error:
        yield Finding("key-store", "keys", str(error), "pip install keyring", "warning")
    except PluginError as error:
        fix = f"chmod 600 {shlex.quote(str(store.path))}, or remove the file and set the keys again: rtvi keys set NAME"
        yield Finding("key-store", "keys", str(error), fix)


def _remove(folder: str) -> str:
    command = "rmdir /s" if sys.platform == "win32" else "rm -r"
    return f"{command} {shlex.quote(folder)}"


def _conflicts(entries: Iterable[EntryPoint]) -> Iterator[Finding]:
    named: dict[str, list[EntryPoint]] = defaultdict(list)
    for each in entries:
        named[each.name].append(each)
    for name, offered in named.items():
        if len(offered) > 1:
            names = " or ".join(repr(each.qualified) for each in offered)
            listed = " and ".join(each.distribution for each in offered)
            fix = f"Write {names} in the bot, or: pip uninstall {offered[-1].distribution}"
            yield Finding("conflict", name, f"{listed} both offer it.", fix, "warning")


# ---- plugins -------------------------------------------------------------------------------------------------------


def _of_plugin(entry: EntryPoint, probed: Probed) -> Iterator[Finding]:
    name = f"{entry.name} of {entry.distribution} {entry.version}".rstrip()
    if entry.unfit is not None:
        check = "api-version" if not entry.api or API not in entry.api else "entry-point"
        yield Finding(check, name, f"It cannot be used: {entry.unfit}", _mend_metadata(entry))
    elif probed.broken is not None:
        check = "missing-module" if probed.missing else "entry-point" if probed.seconds is not None else "import"
        yield Finding(check, name, f"It cannot be used: {probed.broken}", _mend_import(entry, probed))
    for service in probed.unnamed:
        fix = f"In its pyproject.toml, call the entry point {service!r}. Then: pip install -e ."
        what = f"It declares the service {service}, which no bot can name."
        yield Finding("entry-point", name, what, fix, "warning")
    is_known_as_slow = entry.bridged is not None and entry.bridged.slow
    if probed.seconds is not None and probed.seconds > SLOW_IMPORT_SECONDS and not is_known_as_slow:
        fix = f"See what takes long: {_python()} -X importtime -c 'import {entry.module}'"
        yield Finding("slow-import", name, f"Its import takes {probed.seconds:.1f} seconds.", fix, "warning")


def _mend_metadata(entry: EntryPoint) -> str:
    if entry.api and all(each.isdigit() and int(each) > int(API) for each in entry.api):
        return f"Update the core: {_upgrade('rtvi-plugins')}"
    return f"Update it: {_upgrade(entry.distribution)} (its author changes the pyproject.toml)"


def _mend_import(entry: EntryPoint, probed: Probed) -> str:
    if probed.missing is not None:
        return f"Install it again with what it needs: {_upgrade(entry.distribution, '--force-reinstall')}"
    if probed.seconds is not None:
        return f"Update it: {_upgrade(entry.distribution)} (its author changes the entry point)"
    return f"See the traceback: rtvi --traceback describe {entry.name}. Then: {_upgrade(entry.distribution)}"


def _upgrade(distribution: str, how: str = "--upgrade") -> str:
    from importlib.metadata import PackageNotFoundError, metadata

    # The project's own distributions are on no registry, where their names may be another project's.
    try:
        own = metadata(distribution).json.get("author") == "The rtvi_plugins authors" or distribution == "rtvi-plugins"
    except (PackageNotFoundError, OSError):  # `importlib_metadata`, which others may import, raises the second
        own = distribution == "rtvi-plugins"
    return install_hint(distribution) if own else f"pip install {how} {distribution}"


def _python() -> str:
    return shlex.quote(sys.executable)


# ---- a bot ---------------------------------------------------------------------------------------------------------


def _of_bot(target: str, env: str | None, installed: Installed) -> Iterator[Finding]:
    """Yield what a bot needs and does not find."""
    bot = load(target, env)
    spec = bot_spec(bot)
    try:
        host = Host(bot, installed=installed)
    except PluginError as error:
        for line in str(error).splitlines():
            yield Finding("bot", spec.name, line, _mend_bot(line))
        return
    yield from _missing_keys(host, spec.name)


def _missing_keys(host: Host, bot: str) -> Iterator[Finding]:
    """Yield each missing key once, with all providers that need it."""
    needed: dict[str, list[tuple[str, str, bool]]] = defaultdict(list)
    for name, missing in host.missing_keys().items():
        service = host.registry.services[name]
        takes_over = any(not missing[label] for label in service.chosen_from[service.default].labels)
        for label, variables in missing.items():
            for variable in variables:
                needed[variable].append((name, label, label == service.default and not takes_over))
    for variable, found in needed.items():
        who = " and the provider ".join(f"{label!r} of {service!r}" for service, label, _ in found)
        what = f"The provider {who} {'needs' if len(found) == 1 else 'need'} the key {variable}, which is not set."
        specs = [host.registry.services[service].providers[label].spec for service, label, _ in found]
        page = next((each.key_page for each in specs if each.key_page), None)
        made = f"Make a key at {page}, and store" if page else "Store"
        fix = f"{made} it: rtvi keys set {variable} (or set the variable, or send it with each start request)"
        is_needed = any(needed for *_, needed in found)
        yield Finding("missing-key", bot, what, fix, "broken" if is_needed else "warning")


def _mend_bot(line: str) -> str:
    _, _, command = line.partition(" is installed. In the checkout of ")
    if command:
        return f"In the checkout of {command}"
    if "is installed." in line:
        return "Correct the name in the bot, or install the distribution with it. What is installed: rtvi plugins"
    if "Several distributions" in line:
        return "Write the name with its distribution in the bot, as the message says. What is installed: rtvi plugins"
    return "Fix the plugin as said above. To check again: rtvi doctor"


def _stored_keys() -> list[str]:
    try:
        return KeyStore(os.environ).names()
    except PluginError:  # `rtvi keys list` says why
        return []


def _text(report: Mapping[str, Any]) -> str:
    parts = ", ".join(f"{part} {'yes' if there else 'no'}" for part, there in report["parts"].items())
    versions = f"rtvi_plugins {report['version']}, plugin API {report['api']}, Python {report['python']}"
    table = [("PLUGIN", "DISTRIBUTION", "API", "IMPORT", "KEYS NOT SET"), *map(_row, report["plugins"])]
    lines = [versions, f"parts: {parts}", "", *table_lines(table)]
    findings: list[dict[str, str]] = report["findings"]
    for finding in findings:
        lines += ["", "{level}: {about} [{check}]".format(**finding)]
        lines += [f"  {finding['what']}", f"  → {finding['fix']}"]
    broken = sum(finding["level"] == "broken" for finding in findings)
    lines += ["", f"{broken} broken, {len(findings) - broken} warnings"]
    return "\n".join([*lines, ""])


def _row(plugin: Mapping[str, Any]) -> tuple[str, ...]:
    seconds: float | None = plugin["import_seconds"]
    took = "broken" if plugin["broken"] else f"{seconds:.2f} s" if seconds is not None else "-"
    distribution = f"{plugin['distribution']} {plugin['version']}"
    return plugin["name"], distribution, ", ".join(plugin["api"]) or "none", took, ", ".join(plugin["missing_keys"])
