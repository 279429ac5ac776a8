"""How the conformance kit calls one operation of a kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

__all__ = ("Operation",)


@frozen
class Operation:
    """The operation of a kind: the method, the classes of its pieces, those that a result needs, and a request."""

    method: str
    pieces: tuple[type, ...]
    results: tuple[type, ...]
    request: Callable[[], Any]

    def start(self, live: Any, request: Any = None) -> Any:
        """Call the method with a request, by default the plain one."""
        return getattr(live, self.method)(self.request() if request is None else request)
