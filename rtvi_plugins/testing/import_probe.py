"""Import a plugin in a process of its own, and see what it takes.

Connections to other machines are refused, and those that were tried are noted.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from ipaddress import ip_address
from time import process_time
from typing import Any, Final
from unittest.mock import patch

from attrs import asdict, frozen

from ..errors import PluginError
from ..registry.installed_plugins import EntryPoint, Installed, find_entry, run_apart

__all__ = ("Imported", "import_apart", "main", "no_network")


@contextmanager
def no_network() -> Generator[list[str]]:
    """Let Python code of this process reach only this machine during the block. Yield the hosts that it tried.

    A connection to another host raises `OSError`, and so does looking up its address.
    """
    tried: list[str] = []

    def guarded(function: Callable[..., Any], host_of: Callable[..., object]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            host = host_of(*arguments, **options)
            if not _is_this_machine(host):
                tried.append(str(host))
                raise OSError(f"{host} is not this machine, and the check uses no network")
            return function(*arguments, **options)

        return call

    with (
        patch.object(socket, "getaddrinfo", guarded(socket.getaddrinfo, _host_of_look_up)),
        patch.object(socket, "gethostbyname", guarded(socket.gethostbyname, _host_of_look_up)),
        patch.object(socket.socket, "connect", guarded(socket.socket.connect, _host_of_address)),
    ):
        yield tried


def _host_of_look_up(host: object, *arguments: object, **options: object) -> object:
    return host.decode("ascii", "replace") if isinstance(host, bytes) else host


def _host_of_address(connecting: socket.socket, address: Any) -> object:
    return address[0] if connecting.family in (socket.AF_INET, socket.AF_INET6) else None


def _is_this_machine(host: object) -> bool:
    if host is None or host in ("", "localhost"):
        return True
    try:
        return ip_address(str(host)).is_loopback
    except ValueError:  # a name
        return False


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
