"""Find values whose text would be far larger than they are, because one array or object stands in many places.

A pair of a pair of a pair, forty levels deep and each made of one object twice, is forty objects. Its JSON text would
hold a million million values, and everything that goes through it place by place would not end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

__all__ = ("TOO_OFTEN", "Parts", "repeats_too_often")

#: Returns the values in an array or object; None for any other value.
Parts: TypeAlias = Callable[[Any], "Iterable[Any] | None"]

#: The most values that may be repetitions of others.
_MAX_REPEATED: Final = 100_000

#: Why such a value is rejected.
TOO_OFTEN: Final = f"it holds the same arrays or objects so often that more than {_MAX_REPEATED:,} values are repeated"

_SCALARS: Final = frozenset((str, int, float, bool, type(None)))


class _Count:
    """Counts the values that a text would hold, and how many of them are repetitions. Looks at each object once."""

    __slots__ = ("_parts", "_sizes", "repeated", "written")

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        #: How many values each object holds, by its identity; and the object, so that it keeps its identity.
        self._sizes: dict[int, tuple[int, object]] = {}
        self.written = self.repeated = 0

    def add(self, value: object, levels: int) -> None:
        self.written += 1
        if (known := self._sizes.get(id(value))) is not None:
            self.written += known[0]
            self.repeated += known[0]
            return
        if not levels or (inner := self._parts(value)) is None:
            return
        before = self.written
        self._sizes[id(value)] = 0, value  # for an object that contains itself
        for each in inner:
            if each.__class__ in _SCALARS:
                self.written += 1
            else:
                self.add(each, levels - 1)
        self._sizes[id(value)] = self.written - before, value


def repeats_too_often(value: object, parts: Parts, levels: int) -> bool:
    """Return whether a value repeats its arrays and objects too often to be written. It is read to so many levels."""
    if value.__class__ in _SCALARS:
        return False
    count = _Count(parts)
    count.add(value, levels)
    return count.repeated > _MAX_REPEATED
