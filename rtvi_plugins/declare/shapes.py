"""The shape of a type on the wire: its RTVI type, its JSON Schema, and how a value is checked and loaded.

A loader never raises. It appends `Problem`s, so that every problem of a message is reported at once. The shapes of the
simple types are here too: `str`, `bool`, `int`, `float`, `None` and `Any`.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import NoneType
from typing import Any, TypeAlias

import attrs
from attrs import frozen

from ..errors import DeclarationError, Problem
from ..utils.diagnostics import authors_line, shorten
from ..utils.json_values import expected, is_array, is_object, member_path, until_max_problems

__all__ = (
    "ANY",
    "ANYTHING",
    "INVALID",
    "NULL",
    "PRIMITIVES",
    "TEXT",
    "LoadedTypes",
    "Loader",
    "NoneRejected",
    "Schema",
    "Shape",
    "UnsupportedType",
    "Validator",
    "Was",
    "as_int",
    "bad_names",
    "check",
    "merged",
    "summary",
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


def summary(doc: str | None) -> str:
    """Return the first paragraph of a docstring as one line. Clients see it."""
    return inspect.cleandoc(doc or "").split("\n\n")[0].replace("\n", " ")


def _exactly(cls: type, word: str) -> Loader:
    def load(value: Any, path: str, problems: list[Problem]) -> Any:
        if value.__class__ is cls:
            return value
        problems.append(Problem(path, expected(word, value)))
        return INVALID

    return load


def _load_int(value: Any, path: str, problems: list[Problem]) -> Any:
    whole = as_int(value)
    if whole.__class__ is int:
        return whole
    is_large = value.__class__ is float and value.is_integer()
    word = "a whole number of 64 bits, written without fraction and exponent" if is_large else "a whole number"
    problems.append(Problem(path, expected(word, value)))
    return INVALID


def as_int(value: Any) -> Any:
    """Return the int for a float such as 2.0, which is an integer in JSON Schema; return any other value as it is.

    A float from 2**53 on stands for several whole numbers, so it is not converted.
    """
    return int(value) if value.__class__ is float and value.is_integer() and abs(value) < 2**53 else value


def _load_float(value: Any, path: str, problems: list[Problem]) -> Any:
    if value.__class__ is int or (value.__class__ is float and math.isfinite(value)):
        with suppress(OverflowError):  # an author's default may be an int that no float holds
            return float(value)
    problems.append(Problem(path, expected("a number", value)))
    return INVALID


def _load_none(value: Any, path: str, problems: list[Problem]) -> Any:
    if value is not None:
        problems.append(Problem(path, expected("null", value)))
        return INVALID
    return None


def _load_any(value: Any, path: str, problems: list[Problem]) -> Any:
    if is_array(value):
        for index, item in until_max_problems(enumerate(value), problems):
            _load_any(item, f"{path}[{index}]", problems)
    elif is_object(value):
        if bad := bad_names(value):
            problems.append(Problem(path, bad))
        else:
            for key, item in until_max_problems(value.items(), problems):
                _load_any(item, member_path(path, key), problems)
    elif not (value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))):
        problems.append(Problem(path, expected("a JSON value", value)))
    return value


def bad_names(value: Mapping[Any, Any]) -> str | None:
    """Return the problem of an object that has keys other than strings. One that was decoded from JSON has none."""
    for key in value:
        if not isinstance(key, str):
            return f"expected names that are strings, got {shorten(repr(key))}"
    return None


ANY = Shape("object", {}, _load_any, expects="a JSON value")
NULL = Shape("null", {"type": "null"}, _load_none, type(None), "null", LoadedTypes((type(None),)))

PRIMITIVES: Mapping[Any, Shape] = {
    str: Shape("string", {"type": "string"}, _exactly(str, "a string"), str, "a string", LoadedTypes((str,))),
    bool: Shape(
        "bool", {"type": "boolean"}, _exactly(bool, "true or false"), bool, "true or false", LoadedTypes((bool,))
    ),
    int: Shape("number", {"type": "integer"}, _load_int, int, "a whole number", LoadedTypes((int,))),
    float: Shape("number", {"type": "number"}, _load_float, None, "a number", LoadedTypes((float,))),
}
