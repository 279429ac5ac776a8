"""An attrs validator as a constraint: a check that speaks this project's words, and the JSON Schema that says the same.

A validator is either understood in both ways or refused when it is declared, so that clients are never bound by a
constraint that their description leaves out. attrs keeps the classes of its validators private; the fields that are
read here are what their `repr` documents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import NoneType
from typing import Any, cast

import attrs
from attrs import frozen
from attrs import validators as v

from ..errors import Problem
from ..utils.json_values import MAX_PROBLEMS, expected, is_array, is_object, member_path, until_max_problems
from .roles import roles
from .rules import ANYTHING, TEXT, Loads, Place, Rule, Schema, Validator, got, merged, plain
from .validators import choice, instance, max_length, min_length, number, own, pattern_of, refused

__all__ = ("parts_of", "read_validators")


@frozen
class _Reader(Place):
    """Reads the validators of one place."""

    def read(self, validator: Any) -> Rule:
        for cls, read in _READERS.items():
            if validator.__class__ is cls:
                return read(self, validator)
        return own(self, validator)


def read_validators(
    validators: Iterable[Validator], loads: Loads, *, strict: bool, attribute: attrs.Attribute[Any] | None = None
) -> Rule:
    """The rule that attrs validators make together. `NotReadable` for one that cannot be described."""
    reader = _Reader(loads, strict, attribute)
    return _all([reader.read(each) for each in validators])


def parts_of(validator: Validator) -> Iterator[Validator]:
    """Yield the validators that attrs' `and_` has joined, or the validator itself."""
    for each in getattr(validator, "_validators", ()):
        yield from parts_of(each)
    if not hasattr(validator, "_validators"):
        yield validator


# ---- validators made of validators ---------------------------------------------------------------------------------


def _all(rules: Sequence[Rule]) -> Rule:
    if len(rules) == 1:
        return rules[0]

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        for each in rules:
            each.check(value, path, problems)

    return Rule(check, merged(each.schema for each in rules), " and ".join(each.phrase for each in rules))


def _and(reader: _Reader, validator: Any) -> Rule:
    return _all([reader.read(each) for each in validator._validators])


def _optional(reader: _Reader, validator: Any) -> Rule:
    inner = attrs.evolve(reader, loads=reader.loads.without_none()).read(validator.validator)

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        if value is not None:
            inner.check(value, path, problems)

    nullable = NoneType in reader.loads.classes or object in reader.loads.classes
    schema = {"anyOf": [inner.schema, {"type": "null"}]} if nullable and inner.schema else inner.schema
    return Rule(check, schema, inner.phrase)


def _or(reader: _Reader, validator: Any) -> Rule:
    rules = [attrs.evolve(reader, strict=False).read(each) for each in validator.validators]
    phrase = " or ".join(each.phrase for each in rules)

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        if not any(_passes(each, value) for each in rules):
            problems.append(Problem(path, f"must {phrase}, got {got(value)}"))

    return Rule(check, {"anyOf": [each.schema for each in rules]}, phrase)


def _not(reader: _Reader, validator: Any) -> Rule:
    rule = attrs.evolve(reader, strict=False).read(validator.validator)

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        if _passes(rule, value):
            problems.append(Problem(path, f"must not {rule.phrase}, got {got(value)}"))

    return Rule(check, {"not": rule.schema}, f"not {rule.phrase}")


def _passes(rule: Rule, value: Any) -> bool:
    problems: list[Problem] = []
    rule.check(value, "", problems)
    return not problems


def _deep_iterable(reader: _Reader, validator: Any) -> Rule:
    guard = {"type": "array"} if reader.guard("deep_iterable(…)", "arrays", (list, tuple)) else {}
    member_rule = attrs.evolve(reader, loads=reader.loads.items or ANYTHING).read(validator.member_validator)

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        if not is_array(value):
            problems.append(Problem(path, expected("an array", plain(value))))
            return
        for index, each in enumerate(value):
            if len(problems) >= MAX_PROBLEMS:
                return
            member_rule.check(each, f"{path}[{index}]", problems)

    items = {"items": member_rule.schema} if member_rule.schema else {}
    rule = Rule(check, {**guard, **items}, f"have only items that each must {member_rule.phrase}")
    return _with_whole(reader, rule, validator.iterable_validator)


def _deep_mapping(reader: _Reader, validator: Any) -> Rule:
    guard = {"type": "object"} if reader.guard("deep_mapping(…)", "objects", (dict,)) else {}
    keys = attrs.evolve(reader, loads=TEXT).read(_or_nothing(validator.key_validator))
    values = attrs.evolve(reader, loads=reader.loads.values or ANYTHING).read(_or_nothing(validator.value_validator))

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        if not is_object(value):
            problems.append(Problem(path, expected("an object", plain(value))))
            return
        for key, each in value.items():
            if len(problems) >= MAX_PROBLEMS:
                return
            names: list[Problem] = []
            keys.check(key, member_path(path, key), names)
            problems.extend(attrs.evolve(one, message=f"its name {one.message}") for one in names)
            values.check(each, member_path(path, key), problems)

    schema: Schema = {**guard, **({"propertyNames": keys.schema} if keys.schema else {})}
    schema |= {"additionalProperties": values.schema} if values.schema else {}
    phrases = [f"names that each must {keys.phrase}", f"values that each must {values.phrase}"]
    return _with_whole(reader, Rule(check, schema, f"have only {' and '.join(phrases)}"), validator.mapping_validator)


def _roles(reader: _Reader, validator: roles) -> Rule:
    """As any validator of an author's own, but with the path of everything that it finds."""
    reader.guard(repr(validator), "arrays of messages", (list, tuple))
    rule = own(reader, validator)

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        if value is not None and not is_array(value):
            problems.append(Problem(path, expected("an array of messages", plain(value))))
            return
        for inner, message in until_max_problems(validator.problems(value or ()), problems):
            problems.append(Problem(f"{path}{inner}", message))

    return attrs.evolve(rule, check=check)


def _or_nothing(validator: Any) -> Any:
    return cast("Any", v.and_()) if validator is None else validator


def _with_whole(reader: _Reader, rule: Rule, whole: Any) -> Rule:
    return rule if whole is None else _all([reader.read(whole), rule])


_READERS: Mapping[type, Callable[[_Reader, Any], Rule]] = {
    v.ge(0).__class__: number,
    v.min_len(0).__class__: min_length,
    v.max_len(0).__class__: max_length,
    v.matches_re("").__class__: pattern_of,
    v.in_(()).__class__: choice,
    v.instance_of(str).__class__: instance,
    v.and_().__class__: _and,
    v.optional(v.ge(0)).__class__: _optional,
    v.or_(v.ge(0), v.ge(0)).__class__: _or,
    v.not_(v.ge(0)).__class__: _not,
    v.deep_iterable(v.ge(0)).__class__: _deep_iterable,
    v.deep_mapping(v.ge(0), v.ge(0)).__class__: _deep_mapping,
    v.is_callable().__class__: refused,
    roles: _roles,
}
