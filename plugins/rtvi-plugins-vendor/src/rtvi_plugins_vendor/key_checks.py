"""The `check_key` of a service, in one line.

::

    @define
    class AcmeLLM:
        http: VendorHTTP

        check_key = key_check("v2/models")
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol, TypeAlias

from rtvi_plugins.errors import AuthorError

from .http import VendorHTTP
from .websocket import VendorWebSockets

__all__ = ("key_check",)


class _HasHTTP(Protocol):
    @property
    def http(self) -> VendorHTTP: ...


class _HasSockets(Protocol):
    @property
    def sockets(self) -> VendorWebSockets: ...


_Provider: TypeAlias = _HasHTTP | _HasSockets


def key_check(
    path: str, *, headers: Mapping[str, str] | None = None
) -> Callable[[_Provider], Coroutine[Any, Any, None]]:
    """Return the method `check_key` of a class whose field `http` or `sockets` has the connection to the vendor.

    `path` is free and quick, and every key may read it. See `VendorHTTP.check_key`, which also says what a refusal is.
    """

    async def check_key(self: _Provider, /) -> None:
        """Raise `ProviderError` if the vendor does not know the key."""
        connection: object = getattr(self, "http", None) or getattr(self, "sockets", None)
        if not isinstance(connection, VendorHTTP | VendorWebSockets):
            raise AuthorError(
                f"{type(self).__name__} has check_key = key_check({path!r}), but no field http or sockets. "
                "Name the field with the VendorHTTP http, or the one with the VendorWebSockets sockets."
            )
        await connection.check_key(path, headers=headers)

    return check_key
