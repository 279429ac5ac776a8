"""Log which clients use former and deprecated names, so that operators know when these can be removed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ..session import ClientInfo
from ..utils.diagnostics import shorten
from ..utils.log_text import escape

__all__ = ("OldNames",)

log = logging.getLogger("rtvi_plugins")

#: How many pairs of a client and a name are logged. A client chooses its version, and could choose a new one each time.
_MOST = 1_000


class OldNames:
    """Logs each use of a former or deprecated name once for each version of a client."""

    def __init__(self) -> None:
        self._logged: set[tuple[str, str]] = set()

    def used(self, client: ClientInfo, start_data: Mapping[str, Any], name: str) -> None:
        """Log that a client uses a name, which is described as in `Offer`."""
        use = (_version(client, start_data), name)
        if use not in self._logged and len(self._logged) < _MOST:
            self._logged.add(use)
            log.warning("A client (%s) uses %s.", *use)


def _version(client: ClientInfo, start_data: Mapping[str, Any]) -> str:
    """Return the library of a client with its version, or the version of its protocol if it names no library."""
    library, version = (client.about.get(each) for each in ("library", "library_version"))
    if isinstance(library, str) and library:
        return _text(f"{library} {version}" if isinstance(version, str) else library)
    if isinstance(sent := start_data.get("rtvi_client_version"), str):  # clients from 0.2 to 0.4 send it with the start
        return _text(f"an RTVI client {sent}")
    return f"protocol {'.'.join(map(str, client.version))}"


def _text(sent: str) -> str:
    return shorten(escape(sent), 80)
