"""Import a plugin in a process of its own, without a network, and see what it takes."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from time import process_time
from typing import Any, Final

from attrs import asdict, frozen

from ..errors import PluginError
from ..registry.apart import find_entry, run_apart
from ..registry.installed import EntryPoint, Installed
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
    found = run_apart(_START, entry)
    return Imported(found) if isinstance(found, str) else Imported(**found)


# ---- in the process ------------------------------------------------------------------------------------------------


def main(sent: Mapping[str, Any], core_seconds: float) -> None:
    """Import the plugin that `import_apart` has sent, and print the result."""
    installed = Installed()
    sys.stdout.write(json.dumps(asdict(_import(installed, find_entry(installed, sent), core_seconds))))


def _import(installed: Installed, entry: EntryPoint, core_seconds: float) -> Imported:
    with no_network() as reached, redirect_stdout(sys.stderr):
        began = process_time()
        try:
            installed.load(entry)
        except PluginError:
            return Imported(installed.broken[entry.module], reached=reached)
        return Imported(None, process_time() - began, core_seconds, reached)
