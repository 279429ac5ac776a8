"""Import a plugin in a process of its own, without a network, and see what it takes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from time import process_time
from typing import Any, Final

from attrs import asdict, frozen

from ..errors import PluginError
from ..registry.installed import EntryPoint, Installed
from ..utils.diagnostics import shorten
from .network import no_network

__all__ = ("Imported", "import_apart", "main")

#: This module imports all of the core that a bot needs, so its time is that of the core.
_START: Final = f"""
import json, sys
from time import process_time
sent = json.load(sys.stdin)
sys.path[:] = sent["path"]
began = process_time()
from {__name__} import main
main(sent, process_time() - began)
"""

#: A plugin that is not imported by then hangs, in seconds.
_LONGEST: Final = 60.0


@frozen
class Imported:
    """What the import of a plugin has shown. `broken` says why it failed.

    `seconds` is the processor time that it takes beyond that of the core, `core_seconds`. `reached` are the hosts that
    it tried to reach.
    """

    broken: str | None = None
    seconds: float = 0.0
    core_seconds: float = 0.0
    reached: Sequence[str] = ()


def import_apart(entry: EntryPoint) -> Imported:
    """Import a plugin in a process of its own, with the `sys.path` of this process."""
    sent = json.dumps({"path": sys.path, "name": entry.name, "distribution": entry.distribution})
    command = [sys.executable, "-c", _START]
    try:
        done = subprocess.run(command, input=sent, capture_output=True, text=True, timeout=_LONGEST, check=False)
    except subprocess.TimeoutExpired:
        return Imported(f"its import takes more than {_LONGEST:g} seconds")
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
        return Imported(f"its import ended the process with exit code {done.returncode} ({shorten(last)})")
    return Imported(**found)


# ---- in the process ------------------------------------------------------------------------------------------------


def main(sent: Mapping[str, Any], core_seconds: float) -> None:
    """Import the plugin that `import_apart` has sent, and print the result."""
    installed = Installed()
    entry = next(
        each for each in installed.entries if (each.name, each.distribution) == (sent["name"], sent["distribution"])
    )
    sys.stdout.write(json.dumps(asdict(_import(installed, entry, core_seconds))))


def _import(installed: Installed, entry: EntryPoint, core_seconds: float) -> Imported:
    with no_network() as reached, redirect_stdout(sys.stderr):
        began = process_time()
        try:
            installed.load(entry)
        except PluginError:
            return Imported(installed.broken[entry.module], reached=reached)
        return Imported(None, process_time() - began, core_seconds, reached)
