"""The operator's ICE servers, and whether this machine has an address for WebRTC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import orjson
from aioice.ice import get_host_addresses
from aiortc import RTCIceServer
from aiortc.rtcicetransport import parse_stun_turn_uri
from attrs import frozen

__all__ = ("VARIABLE", "IceServers", "has_network", "read_ice_servers")

#: The environment variable that holds the ICE servers.
VARIABLE: Final = "RTVI_ICE_SERVERS"

_EXAMPLE = '[{"urls": "stun:stun.example:3478"}]'
_KEYS: Final = ("urls", "username", "credential")


@frozen
class IceServers:
    """The ICE servers of this operator: as JSON for clients, and as objects for aiortc."""

    for_clients: Sequence[dict[str, Any]] = ()

    @property
    def for_aiortc(self) -> list[RTCIceServer]:
        return [RTCIceServer(**each) for each in self.for_clients]


def read_ice_servers(written: str | None) -> IceServers:
    """Return the servers of a JSON list, in the form for browsers; no servers by default.

    Raise `ValueError` with a sentence for anything else.
    """
    if not written or not written.strip():
        return IceServers()
    try:
        listed: Any = orjson.loads(written)
    except orjson.JSONDecodeError:
        raise ValueError(f"{VARIABLE} is not JSON; write a list, as in {_EXAMPLE}.") from None
    if not isinstance(listed, list):
        raise ValueError(f"{VARIABLE} is not a list; write one, as in {_EXAMPLE}.")
    return IceServers([_server(each, place) for place, each in enumerate(cast("list[Any]", listed))])


def _server(found: Any, place: int) -> dict[str, Any]:
    where = f"{VARIABLE}, item {place + 1}:"
    if not isinstance(found, dict) or not all(_is_fit(*each) for each in cast("dict[str, Any]", found).items()):
        raise ValueError(f"{where} write an object with 'urls', and 'username' and 'credential' for TURN.")
    server = cast("dict[str, Any]", found)
    urls: list[str] = [server["urls"]] if isinstance(server.get("urls"), str) else server.get("urls", [])
    if not urls:
        raise ValueError(f"{where} 'urls' is missing; write it as in {_EXAMPLE}.")
    for url in urls:
        try:
            parse_stun_turn_uri(url)
        except ValueError:
            raise ValueError(f"{where} a URL is not a STUN or TURN address; write it as in {_EXAMPLE}.") from None
    return server


def _is_fit(key: str, value: Any) -> bool:
    if key == "urls" and isinstance(value, list):
        return all(isinstance(each, str) for each in cast("list[Any]", value))
    return key in _KEYS and isinstance(value, str)


def has_network() -> bool:
    """Return whether any interface but the loopback has an address. ICE does not use the loopback."""
    return bool(get_host_addresses(use_ipv4=True, use_ipv6=True))
