"""Compare two versions of the API of a distribution. Class each difference as breaking, compatible or documentation.

A difference is breaking if clients, bots or operators that worked with the old version may fail with the new one. What
they send (arguments, options, service options) may have more values than before, but not fewer. What they receive
(results) may have fewer values, but no others.

The module has more than 300 lines because the JSON Schemas of all parts are compared by one set of rules.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from attrs import frozen

from ..utils.json_values import is_object, member_path
from .description_text import Described, merge_all_of

__all__ = ("Change", "Level", "compare", "compare_schemas", "shown")

# ---- JSON Schemas --------------------------------------------------------------------------------------------------


Level: TypeAlias = Literal["breaking", "compatible", "documentation"]


@frozen
class Change:
    """One difference of the files, with its JSON path."""

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
        for choice in before:
            if choice not in after:
                yield _change(sent, f"{path}.enum", f"The value {choice} is no longer allowed.", wider=False)
        for choice in after:
            if choice not in before:
                yield _change(sent, f"{path}.enum", f"The value {choice} is also allowed.", wider=True)
    elif _type_names(old) & _type_names(new):
        if before is not None:
            yield _change(sent, f"{path}.enum", "Other values are also allowed.", wider=True)
        elif after is not None:
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
    #: Sorts bounds: an exclusive bound is next to the inclusive one of the same value.
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
    """Return the alternatives of a union without suggestions: strings in a union with any string."""
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


# ---- distributions -------------------------------------------------------------------------------------------------

_LEVELS: Final[Sequence[Level]] = ("breaking", "compatible", "documentation")


def compare(old: Described, new: Described) -> list[Change]:
    """Return the differences between two files of `rtvi schema`, breaking ones first."""
    found = _members(old["plugins"], new["plugins"], "$.plugins", "plugin", _plugin)
    return sorted(found, key=lambda each: _LEVELS.index(each.level))


def _members(
    old: Described,
    new: Described,
    path: str,
    what: str,
    inside: Callable[[Described, Described, str], Iterable[Change]],
) -> Iterator[Change]:
    """Compare the plugins or actions of two versions by name."""
    for name, each in old.items():
        place = member_path(path, name)
        if name not in new:
            yield Change("breaking", place, f"The {what} {name!r} is removed.")
        else:
            yield from inside(each, new[name], place)
    for name in new:
        if name not in old:
            yield Change("compatible", member_path(path, name), f"The {what} {name!r} is new.")


def _plugin(old: Described, new: Described, path: str) -> Iterator[Change]:
    yield from _texts(old, new, path)
    if bool(old.get("asyncio_only")) != bool(new.get("asyncio_only")):
        level: Level = "breaking" if new.get("asyncio_only") else "compatible"
        how = "only on asyncio" if new.get("asyncio_only") else "on trio too"
        yield Change(level, f"{path}.asyncio_only", f"The provider now runs {how}.")
    yield from _keys(old.get("keys", {}), new.get("keys", {}), f"{path}.keys")
    for part, what in (("service_options", "service option"), ("options", "option")):
        yield from _parameters(old.get(part, {}), new.get(part, {}), f"{path}.{part}", what)
    yield from _members(old.get("actions", {}), new.get("actions", {}), f"{path}.actions", "action", _action)


def _keys(old: Described, new: Described, path: str) -> Iterator[Change]:
    for name in {**old, **new}:
        was, now = (each.get(name, {}).get("required") for each in (old, new))
        place = member_path(path, name)
        if now and not was:
            yield Change("breaking", place, f"The key {name!r} is now required.")
        elif name not in new:
            yield Change("compatible", place, f"The key {name!r} is not used any more.")
        elif was != now:
            how = "new, and optional" if was is None else "now optional"
            yield Change("compatible", place, f"The key {name!r} is {how}.")


def _action(old: Described, new: Described, path: str) -> Iterator[Change]:
    yield from _texts(old, new, path)
    if bool(old.get("long")) != bool(new.get("long")):
        how = "a job" if new.get("long") else "its result"
        yield Change("breaking", f"{path}.long", f"The action is now answered with {how}.")
    if old.get("message") != new.get("message"):
        lost = "message" in old
        sentence = (
            f"The client message {old.get('message')!r} no longer calls it." if lost else "A message calls it too."
        )
        yield Change("breaking" if lost else "compatible", f"{path}.message", sentence)
    yield from _parameters(old["arguments"], new["arguments"], f"{path}.arguments", "argument")
    yield from compare_schemas(old["result_schema"], new["result_schema"], f"{path}.result_schema", sent=False)


def _texts(old: Described, new: Described, path: str) -> Iterator[Change]:
    if (old.get("description") or "") != (new.get("description") or ""):
        yield Change("documentation", f"{path}.description", "The description changes.")
    if old.get("deprecated") != new.get("deprecated"):
        how = "no longer deprecated" if "deprecated" not in new else "deprecated, with this text"
        yield Change("documentation", f"{path}.deprecated", f"It is {how}.")


# ---- parameters ----------------------------------------------------------------------------------------------------


def _parameters(old: Described, new: Described, path: str, what: str) -> Iterator[Change]:
    renamed = {_with_service(former, name): name for name, each in new.items() for former in each.get("was", ())}
    for name, each in old.items():
        place = member_path(path, name)
        if name in new:
            yield from _parameter(each, new[name], place)
        elif name in renamed:
            yield Change("compatible", place, f"It is now {renamed[name]!r}; the former name is still accepted.")
            yield from _parameter(each, new[renamed[name]], member_path(path, renamed[name]))
        else:
            yield Change("breaking", place, f"The {what} {name!r} is removed.")
    for name, each in new.items():
        if name in old or any(renamed.get(former) == name for former in old):
            continue
        level: Level = "breaking" if each["required"] else "compatible"
        how = "required" if each["required"] else "optional"
        yield Change(level, member_path(path, name), f"The {what} {name!r} is new, and {how}.")


def _with_service(former: str, name: str) -> str:
    """Return the former name of `llm.model` with its service, as options are listed."""
    service, dot, _ = name.rpartition(".")
    return f"{service}{dot}{former}"


def _parameter(old: Described, new: Described, path: str) -> Iterator[Change]:
    yield from _texts(old, new, path)
    if old["required"] != new["required"]:
        level: Level = "breaking" if new["required"] else "compatible"
        yield Change(level, f"{path}.required", f"It is now {'required' if new['required'] else 'optional'}.")
    elif old.get("default") != new.get("default"):
        sentence = f"Without a value, {shown(new.get('default'))} is used in place of {shown(old.get('default'))}."
        yield Change("compatible", f"{path}.default", sentence)
    for each in old.get("was", ()):
        if each not in new.get("was", ()) and each != new.get("name"):
            yield Change("breaking", f"{path}.was", f"The former name {each!r} is no longer accepted.")
    yield from compare_schemas(old["schema"], new["schema"], f"{path}.schema", sent=True)
