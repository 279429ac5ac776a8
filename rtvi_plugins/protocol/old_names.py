"""Former and deprecated names: which of them are declared, and which clients use them.

Each use is logged once for each version of a client, so that operators know when a name can be removed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from ..declare.specs import ActionSpec, Parameter
from ..session import ClientInfo
from ..utils.error_texts import shorten
from ..utils.log_text import escape

__all__ = ("OldNames", "old_names", "old_names_of_action")


def old_names_of_action(action: str, spec: ActionSpec) -> Iterable[tuple[str, str]]:
    """Yield the former and deprecated names of an action and its arguments, each with a description.

    The name of a deprecated action itself is `""`.
    """
    if spec.deprecated is not None:
        yield "", _deprecation(f"the action {action!r}", spec.deprecated)
    for parameter in spec.parameters.values():
        yield from old_names(f"the argument {parameter.name!r} of {action!r}", parameter)


def old_names(what: str, parameter: Parameter) -> Iterable[tuple[str, str]]:
    """Yield the former names of an argument or option, and its name if it is deprecated, each with a description."""
    if parameter.deprecated is not None:
        yield parameter.name, _deprecation(what, parameter.deprecated)
    yield from ((name, f"the former name {name!r} of {what}") for name in parameter.was)


def _deprecation(what: str, instead: str) -> str:
    return f"{what}, which is deprecated{f': {instead}' if instead else ''}".rstrip(".")


log = logging.getLogger("rtvi_plugins")

#: How many pairs of a client and a name are logged. A client chooses its version, and could choose a new one each time.
_MOST_LOGGED = 1_000


class OldNames:
    """Logs each use of a former or deprecated name once for each version of a client."""

    def __init__(self) -> None:
        self._logged: set[tuple[str, str]] = set()

    def used(self, client: ClientInfo, start_data: Mapping[str, Any], name: str) -> None:
        """Log that a client uses a former or deprecated name. `name` is its description in the `Offer`."""
        use = (_client_library(client, start_data), name)
        if use not in self._logged and len(self._logged) < _MOST_LOGGED:
            self._logged.add(use)
            log.warning("A client (%s) uses %s.", *use)


def _client_library(client: ClientInfo, start_data: Mapping[str, Any]) -> str:
    """Return the library of a client with its version, or the version of its protocol if it names no library."""
    library, version = (client.about.get(each) for each in ("library", "library_version"))
    if isinstance(library, str) and library:
        return _log_text(f"{library} {version}" if isinstance(version, str) else library)
    if isinstance(sent := start_data.get("rtvi_client_version"), str):  # clients from 0.2 to 0.4 send it with the start
        return _log_text(f"an RTVI client {sent}")
    return f"protocol {'.'.join(map(str, client.version))}"


def _log_text(sent: str) -> str:
    return shorten(escape(sent), 80)
