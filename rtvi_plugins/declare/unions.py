"""The shapes of choices (`Literal`, `Enum`) and of unions (`int | str`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from ..errors import Problem, unknown
from ..utils.diagnostics import shorten
from ..utils.json_values import MAX_PROBLEMS, expected, is_array, json_problem, member_path
from .shapes import INVALID, NULL, PRIMITIVES, LoadedTypes, Schema, Shape, UnsupportedType, as_int

__all__ = ("choice_shape", "literal_shape", "union_shape")


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
    return Shape(word, {"enum": allowed}, load, expects=_one_of(allowed), loaded=loaded)


def _one_of(allowed: Sequence[Any]) -> str:
    return f"one of {shorten(', '.join(repr(item) for item in allowed), 300)}"


def _not_a_choice(value: Any, allowed: Sequence[Any], path: str) -> Problem:
    names = [item for item in allowed if isinstance(item, str)]
    suggestion = unknown("value", value, names).suggestion if isinstance(value, str) else None
    return Problem(path, expected(_one_of(allowed), value), suggestion)


def union_shape(members: Sequence[Shape]) -> Shape:
    """Return the shape of a union. Its members are tried in order. `X | None` has the RTVI type of X."""
    named = [each for each in members if each.exact is not type(None)]
    if not named:
        return members[0]

    def load(value: Any, path: str, problems: list[Problem]) -> Any:
        tries: list[list[Problem]] = []
        for each in members:
            wrong: list[Problem] = []
            loaded = each.load(value, path, wrong)
            if not wrong:
                return loaded
            tries.append(wrong)
        problems.extend(_nearest(members, tries, value, path))
        return INVALID

    loaded = members[0].loaded
    for each in members[1:]:
        loaded = loaded | each.loaded
    schema: Schema = {"anyOf": [each.schema for each in members]}
    return Shape(named[0].rtvi_type, schema, load, expects=_either(members), loaded=loaded)


def _either(members: Iterable[Shape]) -> str:
    return " or ".join(dict.fromkeys(each.expects for each in members))


def _nearest(members: Sequence[Shape], tries: Sequence[list[Problem]], value: Any, path: str) -> list[Problem]:
    """Return the problems of the member that the value is closest to: of its JSON type, with the fewest problems.

    If there is no such member, return one problem that names all members.
    """
    alike = [index for index, each in enumerate(members) if _json_type(value) in _json_types(each.schema)]
    inside = [index for index in alike if any(problem.path != path for problem in tries[index])]
    if inside:
        return tries[min(inside, key=lambda index: _distance(members[index], tries[index], path))]
    if len(alike) == 1:
        return tries[alike[0]]
    suggestion = next((each.suggestion for found in tries for each in found if each.suggestion is not None), None)
    return [
        Problem(path, expected(_either(members[index] for index in alike or range(len(members))), value), suggestion)
    ]


def _distance(shape: Shape, problems: Iterable[Problem], path: str) -> int:
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
