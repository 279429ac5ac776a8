"""What a constraint is: a check of loaded values in this project's words, and the JSON Schema that says the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from types import NoneType
from typing import Any, TypeAlias

import attrs
from attrs import frozen

from ..errors import Problem
from ..utils.diagnostics import shorten
from ..utils.json_values import describe_json, json_problem

__all__ = (
    "ANYTHING",
    "TEXT",
    "Loads",
    "NoneRefused",
    "NotReadable",
    "Place",
    "Rule",
    "Schema",
    "Validator",
    "carried",
    "class_names",
    "got",
    "is_a",
    "leaf",
    "merged",
    "plain",
)

Validator: TypeAlias = Callable[[Any, Any, Any], Any]
Schema: TypeAlias = dict[str, Any]


class NotReadable(Exception):
    """An annotation or a validator that cannot be described; the text says what to write instead."""


class NoneRefused(NotReadable):
    """A constraint on an optional type that would reject its None."""

    def __init__(self, constraint: str) -> None:
        super().__init__(f"accepts None, but {constraint} does not. Write optional({constraint})")
        self.constraint = constraint


@frozen
class Loads:
    """The Python classes of what a type loads; of arrays what their items are, and of mappings their values."""

    classes: tuple[type, ...]
    items: Loads | None = None
    values: Loads | None = None

    def without_none(self) -> Loads:
        return attrs.evolve(self, classes=tuple(each for each in self.classes if each is not NoneType))

    def __or__(self, other: Loads) -> Loads:
        classes = tuple(dict.fromkeys((*self.classes, *other.classes)))
        return Loads(classes, _either(self.items, other.items), _either(self.values, other.values))


def _either(one: Loads | None, other: Loads | None) -> Loads | None:
    return one | other if one is not None and other is not None else one or other


#: What `Any` loads.
ANYTHING = Loads((object,))
TEXT = Loads((str,))


@frozen
class Rule:
    """A constraint. `check` appends what is wrong with a loaded value; `phrase` completes "must …"."""

    check: Callable[[Any, str, list[Problem]], None]
    schema: Schema
    phrase: str


@frozen
class Place:
    """What validators stand on: a type, and the attrs field, if any.

    A strict place refuses a validator that some value of the type could never pass; at any other, the schema says which
    values it is for.
    """

    loads: Loads
    strict: bool
    attribute: attrs.Attribute[Any] | None = None

    def guard(self, spelled: str, noun: str, classes: tuple[type, ...]) -> bool:
        """Whether the type has values of other classes too, for which the schema must say whom it is about."""
        others = [each for each in self.loads.classes if not is_a(each, classes)]
        if len(others) == len(self.loads.classes) and object not in others:
            raise NotReadable(f"has {spelled}, which applies to {noun}, not to {class_names(others)}")
        if others and self.strict:
            if others == [NoneType]:
                raise NoneRefused(spelled)
            raise NotReadable(
                f"has {spelled}, which does not apply to {class_names(others)}. Put it on the other types alone"
            )
        return bool(others)


def merged(schemas: Iterable[Schema]) -> Schema:
    """The schema that says what all of these say; where two use the same word, both hold."""
    schema: Schema = {}
    for more in schemas:
        if schema.keys() & more.keys() - {"description"}:
            schema = {**schema, "allOf": [*schema.get("allOf", ()), more]}
        else:
            texts = [each["description"] for each in (schema, more) if "description" in each]
            schema = {**schema, **more, **({"description": " ".join(texts)} if texts else {})}
    return schema


def is_a(cls: type, classes: tuple[type, ...]) -> bool:
    """Whether values of a class are of these as JSON sees it, where a bool is no number."""
    return issubclass(cls, classes) and (not issubclass(cls, bool) or bool in classes)


def class_names(classes: Iterable[type]) -> str:
    return " or ".join({NoneType: "None", object: "Any"}.get(each, each.__name__) for each in classes)


def plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def got(value: Any) -> str:
    shown = plain(value)
    return shorten(repr(shown)) if is_a(shown.__class__, (int, float)) else describe_json(shown)


def carried(spelled: str, value: Any) -> Any:
    if (bad := json_problem(value)) is not None:
        raise NotReadable(f"has {spelled}, which cannot be described: {bad[1]}")
    return value


def leaf(classes: tuple[type, ...], passes: Callable[[Any], bool], schema: Schema, phrase: str) -> Rule:
    """A rule for values of some classes, which rejects all others."""

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        if not (is_a(value.__class__, classes) and passes(value)):
            problems.append(Problem(path, f"must {phrase}, got {got(value)}"))

    return Rule(check, schema, phrase)
