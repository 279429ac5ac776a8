"""Compare two JSON Schemas. Class each difference as breaking, compatible or documentation.

Values that others send (arguments, options, service options) may become more, but not fewer. Values that they receive
(results) may become fewer, but no others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from attrs import frozen

from ..utils.json_values import is_object, member_path
from .description import Described, merge_all_of

__all__ = ("Change", "Level", "compare_schemas", "shown")

Level: TypeAlias = Literal["breaking", "compatible", "documentation"]


@frozen
class Change:
    """One difference, at a JSON path of the files."""

    level: Level
    path: str
    sentence: str


_LOWER: Final = ("minimum", "minLength", "minItems", "minProperties")
_UPPER: Final = ("maximum", "maxLength", "maxItems", "maxProperties")
_EXACT: Final = ("pattern", "format", "uniqueItems", "multipleOf", "contains", "propertyNames")
_ALL_TYPES: Final = frozenset(("string", "number", "boolean", "array", "object", "null"))


def compare_schemas(old: Any, new: Any, path: str, *, sent: bool) -> Iterator[Change]:
    """Compare two JSON Schemas. `sent` says whether others send such values, or receive them."""
    if old == new:
        return
    if not is_object(old) or not is_object(new):
        yield _change(sent, path, "Any value is allowed." if new is True else "Fewer values are allowed.", new is True)
        return
    old, new = merge_all_of(old), merge_all_of(new)
    if _described(old) != _described(new):
        yield Change("documentation", path, "The description changes.")
    if "anyOf" in old or "anyOf" in new:
        yield from _unions(old, new, path, sent=sent)
        return
    yield from _types(old, new, path, sent=sent)
    yield from _bounds(old, new, path, sent=sent)
    yield from _objects(old, new, path, sent=sent)
    for part in ("items", "additionalProperties"):
        before, after = (each.get(part, True) for each in (old, new))
        yield from compare_schemas(before, after, f"{path}.{part}", sent=sent)
    if old.get("prefixItems") != new.get("prefixItems"):
        yield Change("breaking", f"{path}.prefixItems", "The items of the array change.")


def _change(sent: bool, path: str, sentence: str, wider: bool) -> Change:
    return Change("compatible" if wider == sent else "breaking", path, sentence)


def _described(schema: Described) -> tuple[Any, ...]:
    return tuple(schema.get(name) for name in ("title", "description", "deprecated"))


def _type_names(schema: Described) -> frozenset[str]:
    found = schema.get("type")
    if found is None:
        choices = _choices(schema)
        return _ALL_TYPES if choices is None else frozenset(_type_of(json.loads(each)) for each in choices)
    return frozenset([found] if isinstance(found, str) else found)


def _type_of(value: Any) -> str:
    names: Mapping[Any, str] = {bool: "boolean", str: "string", list: "array", dict: "object", type(None): "null"}
    return names.get(value.__class__, "integer" if isinstance(value, int) else "number")


def _types(old: Described, new: Described, path: str, *, sent: bool) -> Iterator[Change]:
    before, after = _type_names(old), _type_names(new)
    for one, other, how in ((before, after, "no longer "), (after, before, "also ")):
        for each in sorted(one - other):
            if each == "integer" and "number" in other:  # each whole number is a number
                continue
            if each == "number" and "integer" in other:
                sentence = f"A number with a fraction is {how}allowed."
            else:
                sentence = f"The type {each} is {how}allowed."
            yield _change(sent, f"{path}.type", sentence, how == "also ")


def _choices(schema: Described) -> list[str] | None:
    """Return the values of a closed choice as JSON: 1 and true are two values."""
    if "const" in schema:
        return [json.dumps(schema["const"])]
    return [json.dumps(each) for each in schema["enum"]] if "enum" in schema else None


def _bounds(old: Described, new: Described, path: str, *, sent: bool) -> Iterator[Change]:
    before, after = _choices(old), _choices(new)
    if before is not None and after is not None:
        yield from (
            _change(sent, f"{path}.enum", f"The value {each} is no longer allowed.", wider=False)
            for each in before
            if each not in after
        )
        yield from (
            _change(sent, f"{path}.enum", f"The value {each} is also allowed.", wider=True)
            for each in after
            if each not in before
        )
    elif before is not None and _type_names(old) & _type_names(new):
        yield _change(sent, f"{path}.enum", "Other values are also allowed.", wider=True)
    elif after is not None and _type_names(old) & _type_names(new):
        yield _change(sent, f"{path}.enum", f"Only {', '.join(after)} are still allowed.", wider=False)
    for keyword in (*_LOWER, *_UPPER):
        one, other = _bound(old, keyword), _bound(new, keyword)
        named = other or one
        if named is not None and one != other:
            wider = other is None or (one is not None and (other.order < one.order) == (keyword in _LOWER))
            sentence = f"The bound changes from {one or 'none'} to {other or 'none'}."
            yield _change(sent, f"{path}.{named.keyword}", sentence, wider)
    for keyword in _EXACT:
        one, other = old.get(keyword), new.get(keyword)
        if one is not None and other is not None and one != other:
            sentence = f"{keyword} changes from {shown(one)} to {shown(other)}."
            yield Change("breaking", f"{path}.{keyword}", sentence)
        elif one != other:
            how = "no longer" if other is None else "now"
            yield _change(sent, f"{path}.{keyword}", f"{keyword} is {how} checked.", other is None)


@frozen
class _Bound:
    """A bound, with the keyword that it is written with."""

    keyword: str
    value: float
    #: Bounds in order; an exclusive bound stands beside the inclusive one of the same value.
    order: tuple[float, int]

    def __str__(self) -> str:
        return f"{self.keyword} {json.dumps(self.value)}"


def _bound(schema: Described, keyword: str) -> _Bound | None:
    """Return a bound or its exclusive form, the stricter if a schema has both."""
    lower = keyword in _LOWER
    exclusive = f"exclusive{keyword[0].upper()}{keyword[1:]}"
    found = [
        _Bound(name, schema[name], (schema[name], beside))
        for name, beside in ((keyword, 0), (exclusive, 1 if lower else -1))
        if name in schema
    ]
    return (max if lower else min)(found, key=lambda each: each.order, default=None)


def _objects(old: Described, new: Described, path: str, *, sent: bool) -> Iterator[Change]:
    before, after = old.get("properties", {}), new.get("properties", {})
    needed, needs = set(old.get("required", ())), set(new.get("required", ()))
    for name in before:
        place = member_path(f"{path}.properties", name)
        if name not in after:
            yield Change("breaking", place, f"The field {name!r} is removed.")
            continue
        yield from compare_schemas(before[name], after[name], place, sent=sent)
        if (name in needed) != (name in needs):
            how = ("required" if sent else "always there") if name in needs else "optional"
            yield _change(sent, place, f"The field {name!r} is now {how}.", name not in needs)
    for name in after:
        if name not in before:
            level: Level = "breaking" if sent and name in needs else "compatible"
            yield Change(level, member_path(f"{path}.properties", name), f"The field {name!r} is new.")


# ---- unions --------------------------------------------------------------------------------------------------------

_ANY_STRING: Final[Described] = {"type": "string"}


def _unions(old: Described, new: Described, path: str, *, sent: bool) -> Iterator[Change]:
    before, after = _alternatives(old), _alternatives(new)
    if _suggestions(old) != _suggestions(new) and _ANY_STRING in before and _ANY_STRING in after:
        yield Change("documentation", f"{path}.anyOf", "The suggested values change.")
    lost = [each for each in before if each not in after]
    added = [each for each in after if each not in before]
    for each in list(lost):
        # What is left of one type has been changed, and not been replaced.
        same = next((other for other in added if _numbers_alike(other) == _numbers_alike(each)), None)
        if same is not None:
            lost.remove(each)
            added.remove(same)
            yield from compare_schemas(each, same, f"{path}.anyOf", sent=sent)
    lost = [each for each in lost if not _is_covered(each, after)]
    added = [each for each in added if not _is_covered(each, before)]
    for each in lost:
        yield _change(sent, f"{path}.anyOf", f"The type {_named(each)} is no longer allowed.", wider=False)
    for each in added:
        yield _change(sent, f"{path}.anyOf", f"The type {_named(each)} is also allowed.", wider=True)


def _alternatives(schema: Described) -> list[Described]:
    """Return the alternatives of a union without suggestions: strings that stand beside any string."""
    members = [merge_all_of(each) for each in schema.get("anyOf", (schema,))]
    texts = ("title", "description")
    plain: list[Described] = [{key: value for key, value in each.items() if key not in texts} for each in members]
    if _ANY_STRING not in plain:
        return plain
    return [each for each in plain if each == _ANY_STRING or not _is_suggestion(each)]


def _is_suggestion(schema: Described) -> bool:
    return _choices(schema) is not None and _type_names(schema) == frozenset(("string",))


def _suggestions(schema: Described) -> list[str]:
    return sorted(each for one in schema.get("anyOf", ()) if _is_suggestion(one) for each in _choices(one) or ())


def _numbers_alike(schema: Described) -> frozenset[str]:
    return frozenset("number" if each == "integer" else each for each in _type_names(schema))


def _is_covered(schema: Described, others: Sequence[Described]) -> bool:
    """Return whether one of the others allows all values of a schema."""
    return any(
        all(change.level != "breaking" for change in compare_schemas(schema, other, "", sent=True)) for other in others
    )


def _named(schema: Described) -> str:
    return " or ".join(sorted(_type_names(schema)))


def shown(value: Any) -> str:
    """Return a value as JSON, or "none"."""
    return "none" if value is None else json.dumps(value, ensure_ascii=False)
