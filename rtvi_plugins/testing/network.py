"""Refuse connections to other machines, and note which were tried."""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

__all__ = ("no_network",)


@contextmanager
def no_network() -> Generator[list[str]]:
    """Let Python code of this process reach only this machine during the block. Yield the hosts that it tried.

    A connection to another host raises `OSError`, and so does looking up its address.
    """
    tried: list[str] = []
    look_up: Callable[..., Any] = socket.getaddrinfo
    connect: Any = socket.socket.connect

    def check(host: object) -> None:
        if not _is_this_machine(host):
            tried.append(str(host))
            raise OSError(f"{host} is not this machine, and the check uses no network")

    def checked_look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        check(host.decode("ascii", "replace") if isinstance(host, bytes) else host)
        return look_up(host, *arguments, **options)

    def checked_connect(self: socket.socket, address: Any, /) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            check(address[0])
        connect(self, address)

    patched: Any = socket
    patched.getaddrinfo, patched.socket.connect = checked_look_up, checked_connect
    try:
        yield tried
    finally:
        patched.getaddrinfo = look_up
        del patched.socket.connect  # it is inherited


def _is_this_machine(host: object) -> bool:
    if host is None or host in ("", "localhost"):
        return True
    try:
        return ip_address(str(host)).is_loopback
    except ValueError:  # a name
        return False
