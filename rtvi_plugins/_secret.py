"""Keys that do not show themselves, and a net under those that somebody shows all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import final
from weakref import WeakSet

__all__ = ("Secret", "scrub")


@final
class Secret:
    """A value that never shows itself: not in `repr`, `str`, a format, a log, a pickle or a crash report.

    Only `reveal()` gives it away, at the one place where it is handed to a vendor.
    """

    __slots__ = ("__reveal", "__weakref__")

    def __init__(self, value: str) -> None:
        # A closure, so that tools which print an object's slots find no text.
        def reveal() -> str:
            return value

        self.__reveal: Callable[[], str] = reveal
        _alive.add(self)

    def reveal(self) -> str:
        """The value itself. Do not store, log or format what this returns."""
        return self.__reveal()

    def __repr__(self) -> str:
        return "Secret('…')"

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> str:
        raise TypeError("a Secret cannot be pickled")

    def __bool__(self) -> bool:
        return bool(self.__reveal())


#: Every secret in use. A vendor's exception may quote a key, so what is logged of one goes through `scrub`.
_alive: WeakSet[Secret] = WeakSet()


def scrub(text: str) -> str:
    """`text` without the value of any secret in use."""
    # The longest first: one key may be the beginning of another.
    for value in sorted((secret.reveal() for secret in list(_alive)), key=len, reverse=True):
        if value:
            text = text.replace(value, "…")
    return text
