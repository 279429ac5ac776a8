"""Find bounds that exclude each other, as in `Annotated[int, ge(5), le(3)]`."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..utils.json_values import is_array, is_object
from .types import Schema

__all__ = ("exclude_all",)

_LENGTHS = ("Length", "Items", "Properties")


def exclude_all(schema: Schema) -> bool:
    """Return whether the bounds of a schema leave no number or no length. Bounds in `anyOf` are not read."""
    parts = [*_parts(schema)]

    def bounds(keyword: str) -> list[float]:
        return [part[keyword] for part in parts if part.get(keyword).__class__ in (int, float)]

    if any(_any_pair(bounds(f"min{each}"), operator.gt, bounds(f"max{each}")) for each in _LENGTHS):
        return True
    lowest, above, highest, below = map(bounds, ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"))
    if any(part.get("type") == "integer" for part in parts):
        lowest = [*map(math.ceil, lowest), *(math.floor(bound) + 1 for bound in above)]
        highest = [*map(math.floor, highest), *(math.ceil(bound) - 1 for bound in below)]
    return (
        _any_pair(lowest, operator.gt, highest)
        or _any_pair(above, operator.ge, [*highest, *below])
        or _any_pair(lowest, operator.ge, below)
    )


def _any_pair(lows: Iterable[float], compare: Callable[[float, float], bool], highs: Iterable[float]) -> bool:
    return any(compare(low, high) for low in lows for high in highs)


def _parts(schema: Schema) -> Iterator[Schema]:
    """Yield a schema and those in its `allOf`. The author of a validator may have written anything there."""
    yield schema
    inner: Any = schema.get("allOf")
    for part in inner if is_array(inner) else ():
        if is_object(part):
            yield from _parts(part)
