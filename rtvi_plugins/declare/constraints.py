"""Read attrs validators into rules, and put rules on shapes.

Every validator is checked and described. A validator that cannot be described is rejected when it is declared, so
that no constraint is hidden from clients. The classes of attrs' validators are private; this module reads the fields
that their `repr` shows.
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
from .rules import Rule, Subject, got, is_unsatisfiable, plain
from .shapes import ANYTHING, INVALID, TEXT, LoadedTypes, Schema, Shape, UnsupportedType, Validator, merged
from .validators import choice, instance, max_length, min_length, number, own, pattern_of, refused

__all__ = ("narrow", "parts_of", "restricted_schema", "restriction", "violations")


@frozen
class _Reader(Subject):
    """Reads the validators of one subject."""

    def read(self, validator: Any) -> Rule:
        for cls, read in _READERS.items():
            if validator.__class__ is cls:
                return read(self, validator)
        return own(self, validator)


def _read_validators(
    validators: Iterable[Validator], loaded: LoadedTypes, *, strict: bool, attribute: attrs.Attribute[Any] | None = None
) -> Rule:
    """Return one rule for all validators. Raise `UnsupportedType` for one that cannot be described."""
    reader = _Reader(loaded, strict, attribute)
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
    inner = attrs.evolve(reader, loaded=reader.loaded.without_none()).read(validator.validator)

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        if value is not None:
            inner.check(value, path, problems)

    nullable = NoneType in reader.loaded.classes or object in reader.loaded.classes
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
    member_rule = attrs.evolve(reader, loaded=reader.loaded.items or ANYTHING).read(validator.member_validator)

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
    keys = attrs.evolve(reader, loaded=TEXT).read(_or_nothing(validator.key_validator))
    values = attrs.evolve(reader, loaded=reader.loaded.values or ANYTHING).read(_or_nothing(validator.value_validator))

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
    """Read `roles` as a custom validator that reports the path of each problem."""
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


# ---- shapes under constraints ---------------------------------------------------------------------------------------


def narrow(shape: Shape, validators: Sequence[Validator], *, attribute: attrs.Attribute[Any] | None = None) -> Shape:
    """Return the shape under validators. Raise `UnsupportedType` for one that does not apply to all of its values."""
    if not validators:
        return shape
    rule = _read_validators(validators, shape.loaded, strict=True, attribute=attribute)

    def load(value: Any, path: str, problems: list[Problem]) -> Any:
        before = len(problems)
        loaded = shape.load(value, path, problems)
        if len(problems) == before:
            rule.check(loaded, path, problems)
        return loaded if len(problems) == before else INVALID

    schema = merged([shape.schema, rule.schema])
    if is_unsatisfiable(schema):
        raise UnsupportedType(f"must {rule.phrase}, which no value can. Correct the bounds")
    expects = f"{shape.expects} that must {rule.phrase}"
    return Shape(shape.rtvi_type, schema, load, expects=expects, loaded=shape.loaded)


def restriction(shape: Shape, validator: Validator) -> Rule:
    """Return the rule of a grant's validator. It may exclude some of the shape's types, but not all."""
    return _read_validators([validator], shape.loaded, strict=False)


def restricted_schema(shape: Shape, validator: Validator) -> Schema:
    """Return the schema of a shape under a grant's validator."""
    return merged([shape.schema, restriction(shape, validator).schema])


def violations(shape: Shape, validator: Validator, value: Any, path: str = "$") -> list[Problem]:
    """Return the problems that a grant's validator has with a loaded value."""
    problems: list[Problem] = []
    restriction(shape, validator).check(value, path, problems)
    return problems
