"""Which web pages may use this server, and under which names the server answers.

A browser sends the page's origin in `Origin`, and the server's name in `Host`. A page that is not on the list must not
reach a bot. CORS alone is not enough: it does not cover WebSockets, and a browser sends a POST of plain text before it
checks. So the server itself refuses.

An attacker who owns a domain can point it at 127.0.0.1 (DNS rebinding). Origin and Host then agree, and only the name
in Host shows it. An IP address cannot be pointed elsewhere, so addresses and localhost are always accepted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

__all__ = ("ANY", "HostList", "OriginList", "host_of", "origin_of", "public_origin_of")

#: In place of an origin: every page.
ANY = "*"

_DEFAULT_PORTS = {"http": 80, "https": 443}
#: A name or an address as browsers send it: they write other characters in another way.
_HOST: Final = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")


def origin_of(url: str) -> str:
    """Return the origin of a URL as browsers write it: scheme, host, and a port that is not the scheme's default."""
    try:
        parts = urlsplit(url.strip().lower())
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = parts = None
    is_host = host is not None and _HOST.fullmatch(host) is not None
    if parts is None or not parts.scheme or host is None or not is_host or parts.username is not None:
        raise ValueError(
            f"{url!r} is not an origin; write it in full and in ASCII, as in 'https://app.example', or '*' for all"
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + ("" if port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{port}")


def public_origin_of(url: str) -> str:
    """Return the origin of the URL by which clients know a server. Raise `ValueError` if it is not such a URL."""
    try:
        origin = origin_of(url)
    except ValueError:
        origin = ""
    if not origin.startswith(("http://", "https://")) or "?" in url or "#" in url:
        raise ValueError(f"{url!r} is not the URL of a server; write it as in 'https://bots.example/hotel'")
    return origin


def host_of(header: str) -> str | None:
    """Return the name or address in a Host header, without its port; None if it has neither."""
    try:
        return urlsplit(f"//{header.strip().lower()}").hostname
    except ValueError:
        return None


class OriginList:
    """The origins whose pages may use the server."""

    def __init__(self, origins: Iterable[str]) -> None:
        listed = list(origins)
        self._any = ANY in listed
        self._origins = frozenset(_exact(each) for each in listed if each != ANY)

    def allows(self, origin: str) -> bool:
        return self._any or origin.lower() in self._origins


def _exact(url: str) -> str:
    origin, parts = origin_of(url), urlsplit(url.strip())
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"{url!r} has more than an origin, and browsers send no more; write {origin!r}")
    return origin


class HostList:
    """The names that the server answers to, besides localhost and addresses. None turns the check off."""

    def __init__(self, names: Iterable[str] | None) -> None:
        self._names = None if names is None else frozenset(name.lower() for name in names)

    @property
    def checked(self) -> bool:
        """Return whether names are checked, so that the name of a request can be trusted."""
        return self._names is not None

    def allows(self, header: str) -> bool:
        if self._names is None:
            return True
        name = host_of(header)
        return name is not None and (name in self._names or name == "localhost" or _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
