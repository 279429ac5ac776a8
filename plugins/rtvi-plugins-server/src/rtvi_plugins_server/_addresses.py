"""The address by which a client is counted: its own, or the one that a trusted proxy reports."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

__all__ = ("Proxies", "address_group", "client_group", "trusted_proxies")

#: Every address there is.
_EVERYWHERE: Final = ("0.0.0.0/0", "::/0")
#: The IPv6 network that one subscriber gets.
_SUBSCRIBER_BITS: Final = 64


class Proxies:
    """The addresses and networks of the proxies in front of the server. Raise `ValueError` for an invalid one."""

    def __init__(self, written: Iterable[str] = ()) -> None:
        self._networks = [_network(each) for each in written]

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in each for each in self._networks)


def _network(written: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(written.strip(), strict=False)
    except ValueError:
        raise ValueError(
            f"{written!r} is not the address or the network of a proxy; write it as in '10.0.0.5' or '10.0.0.0/24'"
        ) from None


def trusted_proxies(written: Iterable[str], public_url: str | None) -> Proxies:
    """Return the proxies in front of a server. With a public URL and no named proxy, any address may be one."""
    return Proxies(list(written) or (_EVERYWHERE if public_url is not None else ()))


def client_group(peer: str, forwarded: Iterable[str], proxies: Proxies) -> str | None:
    """Return the address by which a client is counted: that of its connection, or what the proxies report.

    `forwarded` are the values of `X-Forwarded-For`. They are read from the last to the first, as long as they come
    from one of `proxies`. Return None when a proxy reports no address.
    """
    if peer not in proxies:
        return address_group(peer)
    for entry in reversed([_without_port(part.strip()) for value in forwarded for part in value.split(",")]):
        if entry not in proxies:
            return address_group(entry)
    return None


def _without_port(entry: str) -> str:
    """Remove the client's port, which some proxies add."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry


def address_group(address: str) -> str | None:
    """Return what counts as one address: an IPv4 address, or the network of an IPv6 address. None if it is invalid."""
    try:
        found = ip_address(address)
    except ValueError:
        return None
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ip_network((found, _SUBSCRIBER_BITS), strict=False))
