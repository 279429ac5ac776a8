"""Import one plugin in a process of its own. Print as JSON what is wrong with it, what it took, and its keys.

`probe` starts the process. A plugin that hangs, ends its process or crashes affects nothing else.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from time import perf_counter
from typing import Any, Final

from attrs import asdict, frozen

from ..declare.specs import ProviderSpec
from ..errors import PluginError
from ..protocol.operator_fields import key_variable
from ..registry.installed_plugins import LONGEST_IMPORT, EntryPoint, Installed, find_entry, missing_module, run_apart
from ..registry.modules import family_of, lack, services_in

__all__ = ("Probed", "import_plugin", "main", "probe")

#: The modules are looked for where this process looks for them.
_START: Final = f"""
import json, sys
sent = json.load(sys.stdin)
sys.path[:] = sent["path"]
from {__name__} import main
main(sent)
"""


@frozen
class Probed:
    """What the import of a plugin has shown. `seconds` is None if it was not imported to its end.

    `unnamed` are the services that it declares and that no entry point offers. `missing` is the module that the import
    did not find. `keys` are the environment variables of the keys that its provider needs.
    """

    broken: str | None = None
    seconds: float | None = None
    unnamed: Sequence[str] = ()
    missing: str | None = None
    keys: Sequence[str] = ()


def probe(entry: EntryPoint, timeout: float = LONGEST_IMPORT) -> Probed:
    """Import a plugin in a process of its own, with the `sys.path` of this process."""
    found = run_apart(_START, entry, timeout)
    return Probed(f"{found}.") if isinstance(found, str) else Probed(**found)


# ---- in the process ------------------------------------------------------------------------------------------------


def main(sent: Mapping[str, Any]) -> None:
    """Import the plugin that `probe` has sent, and print the result."""
    installed = Installed()
    sys.stdout.write(json.dumps(asdict(import_plugin(installed, find_entry(installed, sent)))))


def import_plugin(installed: Installed, entry: EntryPoint) -> Probed:
    """Import a plugin in this process, and check that it declares what its entry point says."""
    begin = perf_counter()
    try:
        with redirect_stdout(sys.stderr):  # what a plugin prints while it is imported is not our output
            module = installed.load(entry)
    except PluginError:
        return Probed(reason := installed.broken[entry.module], missing=missing_module(reason))
    seconds = perf_counter() - begin
    modules = family_of(installed, module)
    if (lacking := lack(entry, modules)) is not None:
        return Probed(f"it {lacking}", seconds)
    services = services_in(modules)
    offered = [each.name for each in installed.entries if each.module == entry.module]
    unnamed = [each for each in services if entry.kind is None and each not in offered]
    return Probed(None, seconds, tuple(unnamed), None, _keys(services.get(entry.name)))


def _keys(spec: ProviderSpec | None) -> tuple[str, ...]:
    secrets = spec.secrets if spec is not None else ()
    return tuple(key_variable(spec.provider, each.name) for each in secrets if spec and not each.optional)
