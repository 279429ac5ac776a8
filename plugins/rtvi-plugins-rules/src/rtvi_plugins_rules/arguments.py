"""Read the arguments of a function from the JSON Schema of its parameters.

Schemas come from clients, so parts that cannot be read count as absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from .conversation import as_mapping, as_sequence
from .phrases import content_stems, stem, words_of

__all__ = ("MISSING", "Wanted", "levels", "wanted")

#: Returned by a search that found nothing. None would be a value.
MISSING: Any = object()

#: Objects within objects are searched to this depth.
_DEEPEST = 3


@frozen
class Wanted:
    """An argument that a function takes."""

    name: str
    schema: Mapping[str, Any]
    required: bool

    @property
    def type(self) -> str:
        """Return the JSON type of the argument: if the schema allows several, the first that is not null."""
        declared = self.schema.get("type")
        types = [each for each in (declared, *as_sequence(declared)) if isinstance(each, str) and each != "null"]
        return types[0] if types else "string"

    @property
    def words(self) -> tuple[str, ...]:
        """Return the stems of the words in its name."""
        return content_stems(self.name) or tuple(map(stem, words_of(self.name)))

    @property
    def choices(self) -> tuple[Any, ...]:
        """Return the only values that are allowed; empty if there is no such limit."""
        return (self.schema["const"],) if "const" in self.schema else tuple(as_sequence(self.schema.get("enum")))

    def fitting(self, value: int | float) -> Any:
        """Return a number in the type of the schema; `MISSING` if it has a fraction or is out of bounds."""
        if self.type == "integer" and int(value) != value:
            return MISSING
        lowest, highest = self.schema.get("minimum"), self.schema.get("maximum")
        below = isinstance(lowest, int | float) and value < lowest
        above = isinstance(highest, int | float) and value > highest
        return MISSING if below or above else int(value) if self.type == "integer" else value

    def allows_length(self, value: str) -> bool:
        """Return whether a text is neither too short nor too long."""
        shortest, longest = self.schema.get("minLength"), self.schema.get("maxLength")
        too_short = isinstance(shortest, int) and len(value) < shortest
        return not too_short and not (isinstance(longest, int) and len(value) > longest)


def wanted(parameters: object, depth: int = 0) -> tuple[Wanted, ...]:
    """Return the arguments that a JSON Schema of type object describes, the required ones first."""
    schema = as_mapping(parameters)
    required = [each for each in as_sequence(schema.get("required")) if isinstance(each, str)]
    properties = as_mapping(schema.get("properties") if depth < _DEEPEST else None)
    found = [Wanted(str(name), _branch(each), name in required) for name, each in properties.items()]
    return tuple(sorted(found, key=lambda each: not each.required))


def _branch(schema: object) -> Mapping[str, Any]:
    """Return the first alternative of a schema that is not null, or the schema itself."""
    branches = (*as_sequence(as_mapping(schema).get("anyOf")), *as_sequence(as_mapping(schema).get("oneOf")))
    return next((as_mapping(each) for each in branches if as_mapping(each).get("type") != "null"), as_mapping(schema))


def levels(schema: Mapping[str, Any], limit: int = _DEEPEST) -> int:
    """Return 0 for a schema of few levels, and `_DEEPEST` for one that has more levels than are searched."""
    inner = [as_mapping(each) for each in as_mapping(schema.get("properties")).values()]
    if not inner:
        return 0
    return _DEEPEST if limit == 0 else max(levels(each, limit - 1) for each in inner)
