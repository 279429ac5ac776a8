"""A constraint as a `Rule`: a check of loaded values and the JSON Schema that says it. Bounds that no value passes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from types import NoneType
from typing import Any

import attrs
from attrs import frozen

from ..errors import Problem
from ..utils.diagnostics import shorten
from ..utils.json_values import describe_json, is_array, is_object, json_problem
from .shapes import LoadedTypes, NoneRejected, Schema, UnsupportedType

__all__ = (
    "Rule",
    "Subject",
    "class_names",
    "describable",
    "got",
    "is_a",
    "is_unsatisfiable",
    "plain",
    "rule_for",
)


@frozen
class Rule:
    """A constraint. `check` appends the problems of a loaded value. `phrase` completes the sentence "must …"."""

    check: Callable[[Any, str, list[Problem]], None]
    schema: Schema
    phrase: str


@frozen
class Subject:
    """The values that validators check: those of a type, or of an attrs field.

    On a strict subject, a validator must apply to every class of values. Otherwise its schema names those it is for.
    """

    loaded: LoadedTypes
    strict: bool
    attribute: attrs.Attribute[Any] | None = None

    def guard(self, written: str, noun: str, classes: tuple[type, ...]) -> bool:
        """Return whether the type has values of other classes too, so that the schema must name the classes."""
        others = [each for each in self.loaded.classes if not is_a(each, classes)]
        if len(others) == len(self.loaded.classes) and object not in others:
            raise UnsupportedType(f"has {written}, which applies to {noun}, not to {class_names(others)}")
        if others and self.strict:
            if others == [NoneType]:
                raise NoneRejected(written)
            raise UnsupportedType(
                f"has {written}, which does not apply to {class_names(others)}. Put it on the other types only"
            )
        return bool(others)


def rule_for(classes: tuple[type, ...], passes: Callable[[Any], bool], schema: Schema, phrase: str) -> Rule:
    """Return a rule for values of these classes. It rejects values of all others."""

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        if not (is_a(value.__class__, classes) and passes(value)):
            problems.append(Problem(path, f"must {phrase}, got {got(value)}"))

    return Rule(check, schema, phrase)


def is_a(cls: type, classes: tuple[type, ...]) -> bool:
    """Return whether a class is one of these in JSON, where a bool is not a number."""
    return issubclass(cls, classes) and (not issubclass(cls, bool) or bool in classes)


def class_names(classes: Iterable[type]) -> str:
    return " or ".join({NoneType: "None", object: "Any"}.get(each, each.__name__) for each in classes)


def plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def got(value: Any) -> str:
    shown = plain(value)
    return shorten(repr(shown)) if is_a(shown.__class__, (int, float)) else describe_json(shown)


def describable(written: str, value: Any) -> Any:
    if (bad := json_problem(value)) is not None:
        raise UnsupportedType(f"has {written}, which cannot be described: {bad[1]}")
    return value


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
