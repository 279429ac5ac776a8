"""The handle of a service: a bot keeps it, and it forwards to the service that is in use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from .services import OpenService

__all__ = ("Handle",)


class Handle:
    """A service as a bot receives it. A switch of the provider does not change the handle.

    Within a turn it forwards to the service that was in use when the turn began.
    """

    __slots__ = ("_find",)

    def __init__(self, find: Callable[[], OpenService]) -> None:
        self._find = find

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the class of the service in use, so that `isinstance` finds the optional protocols of its provider."""
        return cast("type[object]", type(self._find().live))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._find().alive(), name)
