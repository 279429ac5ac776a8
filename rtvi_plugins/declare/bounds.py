"""Find bounds in a JSON Schema that exclude each other, as `ge(5)` and `le(3)` do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ..utils.json_values import is_array, is_object
from .shapes import Schema

__all__ = ("is_unsatisfiable",)

_LENGTHS = ("Length", "Items", "Properties")


def is_unsatisfiable(schema: Schema) -> bool:
    """Return whether the schema's bounds leave no number or no length. Bounds in `anyOf` are not read."""
    parts = list(_parts(schema))
    if any(_highest(parts, f"min{each}") > _lowest(parts, f"max{each}") for each in _LENGTHS):
        return True
    low, high = _highest(parts, "minimum"), _lowest(parts, "maximum")
    above, below = _highest(parts, "exclusiveMinimum"), _lowest(parts, "exclusiveMaximum")
    if any(part.get("type") == "integer" for part in parts):
        low, high = max(low, _next_integer(above)), min(high, -_next_integer(-below))
        return _ceil(low) > -_ceil(-high)
    return low > high or above >= min(high, below) or low >= below


def _parts(schema: Schema) -> Iterator[Schema]:
    """Yield a schema and those in its `allOf`. The author of a validator may have written anything there."""
    yield schema
    inner: Any = schema.get("allOf")
    for each in inner if is_array(inner) else ():
        if is_object(each):
            yield from _parts(each)


def _highest(parts: list[Schema], keyword: str) -> float:
    return max(_bounds(parts, keyword), default=-math.inf)


def _lowest(parts: list[Schema], keyword: str) -> float:
    return min(_bounds(parts, keyword), default=math.inf)


def _bounds(parts: list[Schema], keyword: str) -> Iterator[float]:
    for part in parts:
        if part.get(keyword).__class__ in (int, float):
            yield part[keyword]


def _ceil(bound: float) -> float:
    return math.ceil(bound) if math.isfinite(bound) else bound


def _next_integer(bound: float) -> float:
    return math.floor(bound) + 1 if math.isfinite(bound) else bound
