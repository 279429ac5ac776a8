"""The shape of a type on the wire: its RTVI type, its JSON Schema, and how a value is checked and loaded.

A loader never raises. It appends `Problem`s, so that every problem of a message is reported at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import NoneType
from typing import Any, TypeAlias

import attrs
from attrs import frozen

from ..errors import DeclarationError, Problem
from ..utils.diagnostics import authors_line

__all__ = (
    "ANYTHING",
    "INVALID",
    "TEXT",
    "LoadedTypes",
    "Loader",
    "NoneRejected",
    "Schema",
    "Shape",
    "UnsupportedType",
    "Validator",
    "Was",
    "check",
    "merged",
)

#: A validator as attrs calls it: with the instance, the attribute and the value. It raises `ValueError`.
Validator: TypeAlias = Callable[[Any, Any, Any], Any]
Schema: TypeAlias = dict[str, Any]
Loader: TypeAlias = Callable[[Any, str, list[Problem]], Any]


#: A loader returns this with a problem. It never reaches a plugin's function.
INVALID: Any = object()


class UnsupportedType(Exception):
    """An annotation or a validator that cannot be described. The text says what to write instead."""


class NoneRejected(UnsupportedType):
    """A constraint on an optional type that rejects its None."""

    def __init__(self, constraint: str) -> None:
        super().__init__(f"accepts None, but {constraint} does not. Write optional({constraint})")
        self.constraint = constraint


@frozen
class Was:
    """A former name of an argument or option. It is still accepted: `Annotated[str, Was("voice_id")]`."""

    name: str

    def __attrs_post_init__(self) -> None:
        name: Any = self.name
        if not isinstance(name, str) or not name:
            raise DeclarationError(
                None, f"Was({name!r}) ({authors_line()}) needs a former name, as in Was('voice_id')."
            )


@frozen
class LoadedTypes:
    """The Python classes of loaded values; for arrays also those of items, for objects those of field values."""

    classes: tuple[type, ...]
    items: LoadedTypes | None = None
    values: LoadedTypes | None = None

    def without_none(self) -> LoadedTypes:
        return attrs.evolve(self, classes=tuple(each for each in self.classes if each is not NoneType))

    def __or__(self, other: LoadedTypes) -> LoadedTypes:
        classes = tuple(dict.fromkeys((*self.classes, *other.classes)))
        return LoadedTypes(classes, _either(self.items, other.items), _either(self.values, other.values))


def _either(one: LoadedTypes | None, other: LoadedTypes | None) -> LoadedTypes | None:
    return one | other if one is not None and other is not None else one or other


#: The values of `Any`.
ANYTHING = LoadedTypes((object,))
#: The names of an object's fields.
TEXT = LoadedTypes((str,))


@frozen
class Shape:
    """The form of a type on the wire.

    `rtvi_type` and `schema` describe it. `load` checks a value and converts it. A value whose class is `exact` needs
    neither. `expects` names the type in messages. `loaded` holds the Python classes of loaded values.
    """

    rtvi_type: str
    schema: Schema
    load: Loader
    exact: type | None = None
    expects: str = "a value"
    loaded: LoadedTypes = ANYTHING


def check(shape: Shape, value: Any, path: str = "$") -> tuple[Any, list[Problem]]:
    """Return the loaded value and every problem with it."""
    problems: list[Problem] = []
    return shape.load(value, path, problems), problems


def merged(schemas: Iterable[Schema]) -> Schema:
    """Return one schema with the constraints of all. If two use the same keyword, both apply."""
    schema: Schema = {}
    for more in schemas:
        if schema.keys() & more.keys() - {"description"}:
            schema = {**schema, "allOf": [*schema.get("allOf", ()), more]}
        else:
            texts = [each["description"] for each in (schema, more) if "description" in each]
            schema = {**schema, **more, **({"description": " ".join(texts)} if texts else {})}
    return schema
