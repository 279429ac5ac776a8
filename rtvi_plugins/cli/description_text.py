"""Texts for people: tables, and the actions, options and types of a description, at most 100 columns wide."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import indent, wrap
from typing import Any, TypeAlias

from ..utils.json_values import is_object

__all__ = ("Described", "actions_text", "facts", "merge_all_of", "parameter_lines", "table_lines", "titled")

#: What `rtvi_plugins.protocol.describe` returns, or a JSON Schema.
Described: TypeAlias = "Mapping[str, Any]"

_WIDTH = 98  # each section is indented by two


def titled(title: str, lines: Iterable[str]) -> str:
    """Return a section of a description."""
    return f"{title}\n" + indent("\n".join(lines) or "none", "  ")


def table_lines(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table. Each column is as wide as its longest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells in rows:
        yield "  ".join(map(str.ljust, cells, widths)).rstrip()


def actions_text(actions: Iterable[Described]) -> str:
    """Return the actions with their arguments, results and descriptions."""
    return "\n".join(line for action in actions for line in _action_lines(action))


def _action_lines(action: Described) -> Iterator[str]:
    names = ", ".join(each["name"] for each in action["arguments"])
    long = ", in the background" if action.get("long") else ""
    yield f"{action['service']}:{action['action']}({names}) -> {_result(action['result_schema'])}{long}"
    yield from _notes(action, "    ")
    if "message" in action:
        yield f"    Called by the client message {_shown(action['message'])}."
    yield from parameter_lines(action["arguments"], "    ")
    if fields := list(_fields(action["result_schema"], "      ", checked=False)):
        yield "    result"
        yield from fields


def _result(schema: Described) -> str:
    is_optional = any(each.get("type") == "null" for each in schema.get("anyOf", ()))
    return f"{_type(schema)} or null" if is_optional else _type(schema)


def parameter_lines(parameters: Iterable[Described], margin: str = "") -> Iterator[str]:
    """Yield the lines of arguments or options: name, type and bounds, documentation, and the fields of objects."""
    listed = list(parameters)
    width = max((len(each["name"]) for each in listed), default=0)
    inner = f"{margin}{' ' * width}  "
    for each in listed:
        yield from _wrapped(", ".join(facts(each)), f"{margin}{each['name']:<{width}}  ", inner)
        yield from _notes(each, inner)
        yield from _fields(each["schema"], inner)


def _notes(described: Described, margin: str) -> Iterator[str]:
    for line in (described.get("description") or "").splitlines():
        yield from _wrapped(line, margin, margin)
    if isinstance(said := described.get("deprecated"), str):
        yield from _wrapped(f"Deprecated: {said}".rstrip(": "), margin, margin)


def _wrapped(text: str, first: str, rest: str) -> Iterator[str]:
    yield from wrap(
        text, _WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


# ---- nested types --------------------------------------------------------------------------------------------------


def _fields(schema: Described, margin: str, *, checked: bool = True) -> Iterator[str]:
    """Yield the lines of the fields of the objects in a schema. `checked` says which of them are required."""
    objects = list(_objects(schema))
    for each in objects:
        if len(objects) > 1:
            yield f"{margin}{each.get('title', 'object')}"
        required = each.get("required", ()) if checked else ()
        fields = [
            {"required": name in required, "description": "", **field, "name": name, "schema": field}
            for name, field in each["properties"].items()
        ]
        yield from parameter_lines(fields, f"{margin}  " if len(objects) > 1 else margin)


def _objects(schema: Described) -> Iterator[Described]:
    """Yield the objects with known fields: the schema itself, or its items, values or members."""
    schema = merge_all_of(schema)
    if schema.get("properties"):
        yield schema
        return
    parts: list[Any] = [schema.get("items"), schema.get("additionalProperties")]
    for each in (*parts, *schema.get("prefixItems", ()), *schema.get("anyOf", ())):
        if is_object(each):
            yield from _objects(each)


def merge_all_of(schema: Described) -> dict[str, Any]:
    """Return a schema with the bounds that a grant adds in `allOf`. The narrower one of two stays."""
    joined = {name: value for name, value in schema.items() if name != "allOf"}
    for part in schema.get("allOf", ()):
        for name, value in merge_all_of(part).items():
            joined[name] = _narrower(name, joined[name], value) if name in joined else value
    if "anyOf" in joined and "items" in joined:  # a grant of an array that may be null: it is about the array
        items = {"items": joined.pop("items")}
        joined["anyOf"] = [
            merge_all_of({"allOf": [each, items]}) if each.get("type") == "array" else each for each in joined["anyOf"]
        ]
    return joined


def _narrower(keyword: str, one: Any, other: Any) -> Any:
    match keyword:
        case "anyOf":
            return list(_both_unions(one, other))
        case "properties":
            both = {name: {"allOf": [one[name], other[name]]} for name in one if other.get(name)}
            return {name: each for name, each in {**one, **other, **both}.items() if each is not False}
        case "items" if other is not False:
            return {"allOf": [one, other]}
        case "enum":
            return [each for each in one if each in other]
        case "minimum" | "exclusiveMinimum" | "minLength" | "minItems":
            return max(one, other)
        case "maximum" | "exclusiveMaximum" | "maxLength" | "maxItems":
            return min(one, other)
        case "description":
            return one
        case _:
            return other


def _both_unions(one: Sequence[Described], other: Sequence[Described]) -> Iterator[Described]:
    """Yield the members of a union that a grant has narrowed by another one, such as that of `optional(le(1))`."""
    for each in one:
        if each.get("type") == "null":
            yield from (each for narrower in other if narrower.get("type") == "null")
        else:
            yield from (
                merge_all_of({"allOf": [each, narrower]})
                for narrower in other
                if narrower.get("type", each.get("type")) == each.get("type")
            )


# ---- types and bounds ----------------------------------------------------------------------------------------------


def facts(parameter: Described) -> Iterator[str]:
    """Yield the type, the bounds and the default of an argument or option, in words."""
    schema = merge_all_of(parameter["schema"])
    yield _type(schema)
    yield from _bounds(schema)
    if parameter["required"]:
        yield "required"
    elif "default" in parameter:
        yield f"default {_shown(parameter['default'])}"
    if not parameter.get("writable", True):
        yield "read only"
    if parameter.get("operator_only"):
        yield "service option"


_TYPES = {"boolean": "bool", "integer": "whole number"}


def _type(schema: Described) -> str:
    """Return the type in words. Null is named by `_bounds`."""
    schema = merge_all_of(schema)
    if "anyOf" in schema:
        words = [_type(each) for each in schema["anyOf"] if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(words))
    choices = schema.get("enum", [schema["const"]] if "const" in schema else ())
    if choices and "type" not in schema:
        return " or ".join(dict.fromkeys(_type_of_value(each) for each in choices))
    found = schema.get("type", "any JSON")
    words = [_TYPES.get(each, each) for each in ([found] if isinstance(found, str) else found)]
    items = schema.get("items")
    if words == ["array"] and is_object(items):
        return f"array of {_type(items)}"
    return " or ".join(words)


def _type_of_value(value: Any) -> str:
    names: dict[type, str] = {bool: "bool", int: "number", float: "number", str: "string"}
    return names.get(value.__class__, "null")


_BOUNDS: Mapping[str, str] = {
    "minimum": "from {}",
    "exclusiveMinimum": "above {}",
    "maximum": "to {}",
    "exclusiveMaximum": "below {}",
    "pattern": "matching /{}/",
}

#: The words for the lengths of texts and arrays, by the keywords of the shortest and the longest.
_LENGTHS = {("minLength", "maxLength"): "character", ("minItems", "maxItems"): "item"}


def _bounds(schema: Described, choice: str = "one of") -> Iterator[str]:
    yield from _lengths(schema)
    bounds = [form.format(schema[name]) for name, form in _BOUNDS.items() if name in schema]
    if bounds:
        yield " ".join(bounds)
    items = schema.get("items")
    if is_object(items) and (of_items := ", ".join(_bounds(merge_all_of(items)))):
        yield f"each {of_items}"
    choices = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if choices:
        if len(choices) == 1:
            choice = {"one of": "always", "or one of": "or"}.get(choice, choice)
        yield f"{choice} {' '.join(_shown(each) for each in choices)}"
        return  # a grant has narrowed the value to these, whatever the members suggest
    members = schema.get("anyOf", [])
    is_union = sum(member.get("type") != "null" for member in members) > 1
    for member in members:
        if member.get("type") == "null":
            yield "or null (None in Python)"
        elif {"type": "string"} in members:
            yield from _bounds(merge_all_of(member), "such as")
        else:
            yield from _bounds(merge_all_of(member), "or one of" if is_union else "one of")


def _lengths(schema: Described) -> Iterator[str]:
    for (shortest, longest), word in _LENGTHS.items():
        match schema.get(shortest), schema.get(longest):
            case None, None:
                continue
            case None, number:
                text = f"at most {number}"
            case number, None:
                text = f"at least {number}"
            case least, number:
                text = str(number) if least == number else f"{least} to {number}"
        yield f"{text} {word}{'' if number == 1 else 's'}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"
