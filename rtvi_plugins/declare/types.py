"""The RTVI type of a Python type: its JSON Schema, and how a value of it is checked and loaded.

A loader never raises. It appends `Problem`s, so that every problem of a message is reported at once. Here are the
simple types (`str`, `bool`, `int`, `float`, `None`, `Any`), choices (`Literal`, `Enum`) and unions (`int | str`).

The module has more than 300 lines because a union is checked by the same rules as the types that it is made of.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from types import NoneType
from typing import Any, TypeAlias

import attrs
from attrs import frozen

from ..errors import DeclarationError, Problem, unknown
from ..utils.error_texts import authors_line, shorten
from ..utils.json_values import (
    MAX_PROBLEMS,
    expected,
    is_array,
    is_object,
    json_problem,
    member_path,
    until_max_problems,
)

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
    "choice_shape",
    "literal_shape",
    "merged",
    "summary",
    "union_shape",
)

# ---- shapes and simple types ---------------------------------------------------------------------------------------

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
        return attrs.evolve(self, classes=tuple(cls for cls in self.classes if cls is not NoneType))

    def __or__(self, other: LoadedTypes) -> LoadedTypes:
        classes = tuple(dict.fromkeys((*self.classes, *other.classes)))
        return LoadedTypes(
            classes, _items_or_values(self.items, other.items), _items_or_values(self.values, other.values)
        )


def _items_or_values(one: LoadedTypes | None, other: LoadedTypes | None) -> LoadedTypes | None:
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


def _load_exactly(cls: type, expectation: str) -> Loader:
    def load(value: Any, path: str, problems: list[Problem]) -> Any:
        if value.__class__ is cls:
            return value
        problems.append(Problem(path, expected(expectation, value)))
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

    A float from 2**53 on may mean one of several whole numbers, so it is not converted.
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


#: Classes of values that need neither a check nor a copy.
_PLAIN = frozenset((str, int, bool, NoneType))


def _load_any(value: Any, path: str, problems: list[Problem]) -> Any:
    """Return a copy. The function that receives it may change it, and defaults belong to all sessions."""
    if is_array(value):
        items = until_max_problems(enumerate(value), problems)
        return [
            item if item.__class__ in _PLAIN else _load_any(item, f"{path}[{index}]", problems) for index, item in items
        ]
    if is_object(value):
        if bad := bad_names(value):
            problems.append(Problem(path, bad))
            return INVALID
        members = until_max_problems(value.items(), problems)
        return {
            name: item if item.__class__ in _PLAIN else _load_any(item, member_path(path, name), problems)
            for name, item in members
        }
    if not (value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))):
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
    str: Shape("string", {"type": "string"}, _load_exactly(str, "a string"), str, "a string", LoadedTypes((str,))),
    bool: Shape(
        "bool", {"type": "boolean"}, _load_exactly(bool, "true or false"), bool, "true or false", LoadedTypes((bool,))
    ),
    int: Shape("number", {"type": "integer"}, _load_int, int, "a whole number", LoadedTypes((int,))),
    float: Shape("number", {"type": "number"}, _load_float, None, "a number", LoadedTypes((float,))),
}


# ---- choices and unions --------------------------------------------------------------------------------------------


def literal_shape(values: Sequence[Any]) -> Shape:
    """Return the shape of a `Literal`. `Literal["a", None]` is `Literal["a"] | None`."""
    named = [each for each in values if each is not None]
    return (
        choice_shape(named)
        if len(named) == len(values)
        else union_shape([choice_shape(named), NULL])
        if named
        else NULL
    )


def choice_shape(values: Iterable[Any], make: Callable[[Any], Any] | None = None) -> Shape:
    """Return the shape of a choice. `make` converts a chosen value. `True` is not `1`."""
    allowed = list(values)
    if not allowed:
        raise UnsupportedType("has no choices. Name at least one")
    for each in allowed:
        if each.__class__ not in (str, int, bool):
            raise UnsupportedType(f"has the choice {shorten(repr(each))}, which is not a string, whole number or bool")
    if (bad := json_problem(allowed)) is not None:
        raise UnsupportedType(f"has a choice that cannot be sent: {bad[1]}")
    by_key = {(value.__class__, value): make(value) if make else value for value in allowed}

    def load(value: Any, path: str, problems: list[Problem]) -> Any:
        sent = as_int(value)
        if isinstance(sent, str | int) and (sent.__class__, sent) in by_key:
            return by_key[sent.__class__, sent]
        problems.append(_not_a_choice(value, allowed, path))
        return INVALID

    word = PRIMITIVES[type(allowed[0])].rtvi_type
    loaded = LoadedTypes(tuple(dict.fromkeys(each.__class__ for each in by_key.values())))
    return Shape(word, {"enum": allowed}, load, expects=_one_of_choices(allowed), loaded=loaded)


def _one_of_choices(allowed: Sequence[Any]) -> str:
    return f"one of {shorten(', '.join(repr(item) for item in allowed), 300)}"


def _not_a_choice(value: Any, allowed: Sequence[Any], path: str) -> Problem:
    names = [item for item in allowed if isinstance(item, str)]
    suggestion = unknown("value", value, names).suggestion if isinstance(value, str) else None
    return Problem(path, expected(_one_of_choices(allowed), value), suggestion)


def union_shape(members: Sequence[Shape]) -> Shape:
    """Return the shape of a union. Its members are tried in order. `X | None` has the RTVI type of X."""
    named = [member for member in members if member.exact is not type(None)]
    if not named:
        return members[0]

    def load(value: Any, path: str, problems: list[Problem]) -> Any:
        tries: list[list[Problem]] = []
        for member in members:
            wrong: list[Problem] = []
            loaded = member.load(value, path, wrong)
            if not wrong:
                return loaded
            tries.append(wrong)
        problems.extend(_problems_of_nearest_member(members, tries, value, path))
        return INVALID

    loaded = members[0].loaded
    for each in members[1:]:
        loaded = loaded | each.loaded
    schema: Schema = {"anyOf": [member.schema for member in members]}
    return Shape(named[0].rtvi_type, schema, load, expects=_one_of_types(members), loaded=loaded)


def _one_of_types(members: Iterable[Shape]) -> str:
    return " or ".join(dict.fromkeys(member.expects for member in members))


def _problems_of_nearest_member(
    members: Sequence[Shape], tries: Sequence[list[Problem]], value: Any, path: str
) -> list[Problem]:
    """Return the problems of the member that the value is closest to: of its JSON type, with the fewest problems.

    If there is no such member, return one problem that names all members.
    """
    alike = [index for index, each in enumerate(members) if _json_type(value) in _json_types(each.schema)]
    inside = [index for index in alike if any(problem.path != path for problem in tries[index])]
    if inside:
        return tries[min(inside, key=lambda index: _distance_to_object(members[index], tries[index], path))]
    if len(alike) == 1:
        return tries[alike[0]]
    suggestion = next((each.suggestion for problems in tries for each in problems if each.suggestion is not None), None)
    return [
        Problem(
            path, expected(_one_of_types(members[index] for index in alike or range(len(members))), value), suggestion
        )
    ]


def _distance_to_object(shape: Shape, problems: Iterable[Problem], path: str) -> int:
    """Return how far a value is from an object's shape. A tag, a field with one choice, outweighs all others."""
    fields: Mapping[str, Schema] = shape.schema.get("properties", {})
    tags = {member_path(path, name) for name, each in fields.items() if len(each.get("enum", ())) == 1}
    return sum(MAX_PROBLEMS if problem.path in tags else 1 for problem in problems)


def _json_type(value: Any) -> str:
    names: Mapping[type, str] = {bool: "boolean", int: "number", float: "number", str: "string", type(None): "null"}
    return names.get(value.__class__, "array" if is_array(value) else "object")


def _json_types(schema: Schema) -> Collection[str]:
    """Return the JSON types that a schema may accept."""
    if "anyOf" in schema and "type" not in schema:
        return {name for each in schema["anyOf"] for name in _json_types(each)}
    if "enum" in schema:
        return {_json_type(each) for each in schema["enum"]}
    names: Any = schema.get("type", ["boolean", "number", "string", "null", "array", "object"])
    return {"number" if name == "integer" else name for name in ([names] if isinstance(names, str) else names)}
