"""Check the arguments of a client's function against its JSON Schema.

Only the keywords that LLMs get wrong are checked: types, choices, names and bounds. Other keywords, references and
invalid schemas are ignored; the client has the last word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from ..errors import Problem, unknown
from ..utils.error_texts import shorten
from ..utils.json_values import MAX_PROBLEMS, expected, is_array, is_object, member_path

__all__ = ("check_schema",)

_DEEPEST = 20


def _is_number(argument: object) -> bool:
    return isinstance(argument, int | float) and not isinstance(argument, bool)


def _is_whole(argument: object) -> bool:
    return _is_number(argument) and (
        isinstance(argument, int) or (isinstance(argument, float) and argument.is_integer())
    )


#: The types of JSON Schema: the name in a sentence, and a test for an argument.
_TYPES: Mapping[str, tuple[str, Callable[[object], bool]]] = {
    "object": ("an object", is_object),
    "array": ("an array", is_array),
    "string": ("a string", lambda argument: isinstance(argument, str)),
    "boolean": ("true or false", lambda argument: isinstance(argument, bool)),
    "integer": ("a whole number", _is_whole),
    "number": ("a number", _is_number),
    "null": ("null", lambda argument: argument is None),
}

#: The bounds: the type that they apply to, a test for argument and bound, and the words for a sentence.
_BOUNDS: Mapping[str, tuple[str, Callable[[Any, Any], bool], str]] = {
    "minimum": ("number", lambda argument, bound: argument >= bound, "a number from {}"),
    "maximum": ("number", lambda argument, bound: argument <= bound, "a number up to {}"),
    "exclusiveMinimum": ("number", lambda argument, bound: argument > bound, "a number above {}"),
    "exclusiveMaximum": ("number", lambda argument, bound: argument < bound, "a number below {}"),
    "minLength": ("string", lambda argument, bound: len(argument) >= bound, "at least {} characters"),
    "maxLength": ("string", lambda argument, bound: len(argument) <= bound, "at most {} characters"),
    "minItems": ("array", lambda argument, bound: len(argument) >= bound, "at least {} items"),
    "maxItems": ("array", lambda argument, bound: len(argument) <= bound, "at most {} items"),
}


def check_schema(schema: object, argument: object, path: str = "$") -> list[Problem]:
    """Return the first problems of an argument; an empty list if there are none."""
    return list(islice(_problems_of(schema, argument, path, 0), MAX_PROBLEMS))


def _problems_of(schema: object, argument: object, path: str, depth: int) -> Iterator[Problem]:
    if not is_object(schema) or depth > _DEEPEST:
        return
    if (wanted := _wanted_by_schema(schema, argument)) is not None:
        yield Problem(path, expected(wanted, argument))
        return
    for keyword, (kind, is_kept, words) in _BOUNDS.items():
        bound = schema.get(keyword)
        if _is_number(bound) and _TYPES[kind][1](argument) and not is_kept(argument, bound):
            yield Problem(path, expected(words.format(bound), argument))
    if is_object(argument):
        yield from _check_object(schema, argument, path, depth)
    elif is_array(argument):
        for index, item in enumerate(argument):
            yield from _problems_of(schema.get("items"), item, f"{path}[{index}]", depth + 1)


def _wanted_by_schema(schema: Mapping[str, Any], argument: object) -> str | None:
    """Return what the schema requires, in words, if the argument has another type or is none of the choices."""
    named = schema.get("type")
    types = [each for each in (named if is_array(named) else [named]) if isinstance(each, str)]
    if types and all(each in _TYPES for each in types) and not any(_TYPES[each][1](argument) for each in types):
        return " or ".join(_TYPES[each][0] for each in types)
    choices = schema.get("enum")
    if is_array(choices) and not any(_equals_choice(each, argument) for each in choices):
        return f"one of {shorten(', '.join(repr(each) for each in choices), 300)}"
    if "const" in schema and not _equals_choice(schema["const"], argument):
        return shorten(repr(schema["const"]), 300)
    return None


def _equals_choice(choice: object, argument: object) -> bool:
    """Return whether two JSON values are equal: `true` is not `1`."""
    return choice == argument and isinstance(choice, bool) == isinstance(argument, bool)


def _check_object(schema: Mapping[str, Any], argument: Mapping[str, Any], path: str, depth: int) -> Iterator[Problem]:
    declared = schema.get("properties")
    properties: Mapping[str, Any] = declared if is_object(declared) else {}
    required = schema.get("required")
    for name in required if is_array(required) else ():
        if isinstance(name, str) and name not in argument:
            yield Problem(path, f"{shorten(name)}: is required.")
    for name, each in argument.items():
        if name in properties:
            yield from _problems_of(properties[name], each, member_path(path, name), depth + 1)
        elif schema.get("additionalProperties") is False and "patternProperties" not in schema:
            yield unknown("argument", name, properties, path=member_path(path, name))
