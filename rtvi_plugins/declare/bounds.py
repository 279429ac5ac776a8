"""Find bounds in a JSON Schema that exclude each other, as `ge(5)` and `le(3)` do."""

from __future__ import annotations

import math
from collections.abc import Iterator

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
    yield schema
    for each in schema.get("allOf", ()):
        yield from _parts(each)


def _highest(parts: list[Schema], keyword: str) -> float:
    return max((part[keyword] for part in parts if keyword in part), default=-math.inf)


def _lowest(parts: list[Schema], keyword: str) -> float:
    return min((part[keyword] for part in parts if keyword in part), default=math.inf)


def _ceil(bound: float) -> float:
    return math.ceil(bound) if math.isfinite(bound) else bound


def _next_integer(bound: float) -> float:
    return math.floor(bound) + 1 if math.isfinite(bound) else bound
