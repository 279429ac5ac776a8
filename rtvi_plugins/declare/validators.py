"""Validators in `Annotated`: each becomes a check of loaded values and the JSON Schema that describes it.

A validator that cannot be described is rejected when it is declared, so that no constraint is hidden from clients. The
classes of attrs' validators are private; this module reads the fields that they show.

The module has more than 300 lines because a validator is read, checked and described in one place: those that attrs
brings, alone and within each other, and those of an author's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import partial
from types import FunctionType, NoneType
from typing import Any, cast

import attrs
from attrs import frozen
from attrs import validators as v

from ..errors import Problem, unknown
from ..utils.error_texts import rejection, shorten
from ..utils.json_values import (
    describe_json,
    expected,
    is_array,
    is_object,
    json_problem,
    member_path,
    until_max_problems,
)
from ..utils.plugin_calls import reraise_control_flow
from .bounds import exclude_all
from .message_roles import roles
from .types import ANYTHING, INVALID, TEXT, LoadedTypes, NoneRejected, Schema, Shape, UnsupportedType, Validator, merged

__all__ = ("Rule", "narrow", "parts_of", "restricted_schema", "restriction", "violations")


@frozen
class Rule:
    """A constraint. `check` appends the problems of a loaded value. `phrase` completes the sentence "must …"."""

    check: Callable[[Any, str, list[Problem]], None]
    schema: Schema
    phrase: str


@frozen
class Subject:
    """The values that validators check: those of a type, or of an attrs field.

    On a strict subject, a validator must apply to every class of values. Otherwise its schema names those it is for.
    """

    loaded: LoadedTypes
    strict: bool
    attribute: attrs.Attribute[Any] | None = None

    def rule(self, validator: Any) -> Rule:
        """Return the rule of a validator. Raise `UnsupportedType` for one that cannot be described."""
        return _READERS.get(validator.__class__, _authors_rule)(self, validator)

    def rules(self, validators: Iterable[Any]) -> Rule:
        return _all_of([self.rule(validator) for validator in validators])

    def guard(self, written: str, noun: str, classes: tuple[type, ...]) -> bool:
        """Return whether the type has values of other classes too, so that the schema must name the classes."""
        others = [cls for cls in self.loaded.classes if not _is_json_class(cls, classes)]
        if len(others) == len(self.loaded.classes) and object not in others:
            raise UnsupportedType(f"has {written}, which applies to {noun}, not to {_class_names(others)}")
        if others and self.strict:
            if others == [NoneType]:
                raise NoneRejected(written)
            raise UnsupportedType(
                f"has {written}, which does not apply to {_class_names(others)}. Put it on the other types only"
            )
        return bool(others)


def _rule_for_classes(classes: tuple[type, ...], passes: Callable[[Any], bool], schema: Schema, phrase: str) -> Rule:
    """Return a rule for values of these classes. It rejects values of all others."""

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        if not (_is_json_class(value.__class__, classes) and passes(value)):
            problems.append(Problem(path, f"must {phrase}, got {_shown_value(value)}"))

    return Rule(check, schema, phrase)


def _is_json_class(cls: type, classes: tuple[type, ...]) -> bool:
    """Return whether a class is one of `classes`, or a subclass. As in JSON, a bool is not a number."""
    return issubclass(cls, classes) and (not issubclass(cls, bool) or bool in classes)


def _class_names(classes: Iterable[type]) -> str:
    return " or ".join({NoneType: "None", object: "Any"}.get(cls, cls.__name__) for cls in classes)


def _json_value(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _shown_value(value: Any) -> str:
    shown = _json_value(value)
    if isinstance(shown, float) and shown.is_integer() and abs(shown) < 1e15:
        shown = int(shown)  # a 9 for a `float` becomes 9.0 when it is read; show the 9
    return shorten(repr(shown)) if _is_json_class(shown.__class__, (int, float)) else describe_json(shown)


def _describable(written: str, value: Any) -> Any:
    if (bad := json_problem(value)) is not None:
        raise UnsupportedType(f"has {written}, which cannot be described: {bad[1]}")
    return value


#: The most choices of `in_` that are described one by one.
_MOST_CHOICES = 1000


# ---- numbers, lengths, patterns ------------------------------------------------------------------------------------

_OPERATORS: Mapping[str, tuple[str, str]] = {
    ">=": ("ge", "minimum"),
    ">": ("gt", "exclusiveMinimum"),
    "<=": ("le", "maximum"),
    "<": ("lt", "exclusiveMaximum"),
}


def _number(subject: Subject, validator: Any) -> Rule:
    name, word = _OPERATORS[validator.compare_op]
    bound, written = validator.bound, f"{name}({validator.bound!r})"
    if not _is_json_class(bound.__class__, (int, float)):
        raise UnsupportedType(f"has {written}, whose bound is not a number that JSON has. Use an int or a float")
    _describable(written, bound)
    guard = {"type": "number"} if subject.guard(written, "numbers", (int, float)) else {}
    compare = validator.compare_func
    return _rule_for_classes(
        (int, float),
        lambda value: bool(compare(value, bound)),
        {**guard, word: bound},
        f"be {validator.compare_op} {bound!r}",
    )


#: What a length counts, and JSON Schema's words for it, by the class of the value and its JSON type.
_COUNTED: Sequence[tuple[type, str, str, str]] = (
    (str, "string", "character", "Length"),
    (list, "array", "item", "Items"),
    (tuple, "array", "item", "Items"),
    (dict, "object", "field", "Properties"),
)


def _min_length(subject: Subject, validator: Any) -> Rule:
    return _length(subject, "min", "at least", validator.min_length, lambda size, bound: size >= bound)


def _max_length(subject: Subject, validator: Any) -> Rule:
    return _length(subject, "max", "at most", validator.max_length, lambda size, bound: size <= bound)


def _length(subject: Subject, side: str, least: str, bound: Any, passes: Callable[[int, int], bool]) -> Rule:
    written = f"{side}_len({bound!r})"
    if bound.__class__ is not int or bound < 0:
        raise UnsupportedType(f"has {written}, whose length is not a whole number from 0")
    _describable(written, bound)
    classes = tuple(cls for cls, *_ in _COUNTED)
    guarded = subject.guard(written, "strings, arrays and objects", classes)
    counted = [
        each for each in _COUNTED if any(issubclass(cls, each[0]) or cls is object for cls in subject.loaded.classes)
    ]
    types = dict.fromkeys(json for _, json, *_ in counted)
    schema: Schema = {"type": [*types]} if guarded else {}
    schema |= {f"{side}{suffix}": bound for *_, suffix in counted}
    nouns = dict.fromkeys(noun for *_, noun, _ in counted)
    phrase = f"have {least} {bound} {' or '.join(_plural(noun, bound) for noun in nouns)}"

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        noun = next((noun for cls, _, noun, _ in _COUNTED if isinstance(value, cls)), None)
        if noun is None:
            problems.append(Problem(path, f"must {phrase}, got {_shown_value(value)}"))
        elif not passes(len(value), bound):
            problems.append(Problem(path, f"must have {least} {bound} {_plural(noun, bound)}, got {len(value)}"))

    return Rule(check, schema, phrase)


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


#: A schema's pattern may match anywhere; Python's methods differ in where a match begins and ends.
_ANCHORED = {"fullmatch": "^(?:{})$", "match": "^(?:{})"}

#: What Python's expressions have and JSON Schema's (ECMA 262) do not.
_PYTHON_ONLY = re.compile(r"(?<!\\)(?:\\\\)*(\(\?P|\(\?#|\(\?[aiLmsux-]+[:)]|\(\?\(|\(\?>|\\[AZ])")


def _pattern(subject: Subject, validator: Any) -> Rule:
    compiled: re.Pattern[Any] = validator.pattern
    pattern = compiled.pattern
    written = f"matches_re({pattern!r})"
    if not isinstance(pattern, str):
        raise UnsupportedType(f"has {written}, whose pattern is bytes. Write a str")
    if special := _PYTHON_ONLY.search(pattern):
        raise UnsupportedType(
            f"has {written}, whose {special[1]!r} JSON Schema does not have. Write the pattern without it"
        )
    if flags := re.RegexFlag(compiled.flags) & ~re.UNICODE:
        raise UnsupportedType(
            f"has {written} with {flags!r}, which JSON Schema does not have. Write [Aa] in the pattern"
        )
    _describable(written, pattern)
    guard = {"type": "string"} if subject.guard(written, "strings", (str,)) else {}
    matches = validator.match_func
    schema = {**guard, "pattern": _ANCHORED.get(matches.__name__, "{}").format(pattern)}
    return _rule_for_classes((str,), lambda value: bool(matches(value)), schema, f"match the pattern '{pattern}'")


# ---- choices and classes -------------------------------------------------------------------------------------------


def _choice(subject: Subject, validator: Any) -> Rule:
    options: list[Any] = _listed_choices(validator.options)
    values = [_describable("in_(…)", _json_value(option)) for option in options]
    strangers = [option for option in options if not any(_can_be_choice(option, cls) for cls in subject.loaded.classes)]
    if strangers:
        raise UnsupportedType(
            f"has in_(…) with {shorten(repr(strangers[0]))}, which is not of type "
            f"{_class_names(subject.loaded.classes)}"
        )
    if subject.strict and NoneType in subject.loaded.classes and None not in values:
        raise NoneRejected("in_(…)")
    allowed = {_choice_key(each) for each in values}
    listed = shorten(", ".join(repr(each) for each in values), 300)

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        sent = _json_value(value)
        if (sent is None or isinstance(sent, str | int | float)) and _choice_key(sent) in allowed:
            return
        texts = [each for each in values if isinstance(each, str)]
        suggestion = unknown("value", sent, texts).suggestion if isinstance(sent, str) else None
        problems.append(Problem(path, expected(f"one of {listed}", sent), suggestion))

    return Rule(check, {"enum": values}, f"be one of {listed}")


def _listed_choices(options: Any) -> list[Any]:
    if isinstance(options, str | bytes) or not isinstance(options, Iterable):
        raise UnsupportedType(f"has in_({shorten(repr(options))}), which is not a list of choices. List each of them")
    listed: list[Any] = []
    for each in cast("Iterable[Any]", options):
        listed.append(each)
        if len(listed) > _MOST_CHOICES:
            raise UnsupportedType(f"has in_(…) with more than {_MOST_CHOICES} choices. Use ge and le, or matches_re")
        if not isinstance(_json_value(each), str | int | float | None):
            raise UnsupportedType(f"has in_(…) with {shorten(repr(each))}, which is not a string, number, bool or None")
    if not listed:
        raise UnsupportedType("has in_(…) without a choice")
    return listed


def _choice_key(value: Any) -> Any:
    return (value.__class__ is bool, value)


def _can_be_choice(option: Any, cls: type) -> bool:
    if issubclass(cls, Enum):
        return any(option == each for each in cls)
    return cls is object or option.__class__ is cls or (cls is float and option.__class__ is int)


#: Classes that JSON tells apart by a type of its own.
_JSON_TYPES: Mapping[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    tuple: "array",
    dict: "object",
    NoneType: "null",
}


def _instance(subject: Subject, validator: Any) -> Rule:
    wanted: Any = validator.type
    classes = cast("tuple[type, ...]", wanted if isinstance(wanted, tuple) else (wanted,))
    written = f"instance_of({_class_names(classes)})"
    right = [cls for cls in subject.loaded.classes if issubclass(cls, classes)]
    wrong = [cls for cls in subject.loaded.classes if cls not in right]
    if not right:
        raise UnsupportedType(f"has {written}, which no {_class_names(wrong)} is. Annotate it so")
    if wrong == [NoneType] and subject.strict:
        raise NoneRejected(written)
    types = {_JSON_TYPES.get(each, "") for each in right}
    if wrong and ("" in types or types & {_JSON_TYPES.get(each, "") for each in wrong}):
        raise UnsupportedType(f"has {written}, which JSON cannot tell from {_class_names(wrong)}. Annotate it so")

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        if not isinstance(value, classes):
            problems.append(Problem(path, expected(_class_names(classes), _json_value(value))))

    return Rule(check, {"type": sorted(types)} if wrong else {}, f"be {_class_names(classes)}")


# ---- validators of an author's own ---------------------------------------------------------------------------------


def _refused(subject: Subject, validator: Any) -> Rule:
    raise UnsupportedType(f"has {validator!r}, which no JSON value passes. Remove it")


def _authors_rule(subject: Subject, validator: Any) -> Rule:
    """Read a validator that is not from attrs. Its `json_schema` or its docstring describes it."""
    name = getattr(validator, "__name__", validator.__class__.__name__)
    if isinstance(validator, FunctionType) and validator.__module__ == v.ge.__module__:
        raise UnsupportedType(f"has the validator {name} without its bound. Call it, as in ge(0)")
    if not callable(validator):
        raise UnsupportedType(f"has the validator {shorten(repr(validator))}, which cannot be called")
    schema, doc = getattr(validator, "json_schema", None), _first_paragraph(validator)
    if schema is None and not doc:
        raise UnsupportedType(
            f"has the validator {name}, which describes nothing. Give it a docstring, or an attribute json_schema"
        )
    if not isinstance(schema, dict | None):
        raise UnsupportedType(f"has the validator {name}, whose json_schema is not a dict")
    described: Schema = {"description": doc} if schema is None else cast(Schema, schema)
    for keyword, cls in (("description", str), ("allOf", list)):  # the two that are joined with those of others
        if not isinstance(described.get(keyword, cls()), cls):
            raise UnsupportedType(
                f"has the validator {name}, whose json_schema has {keyword!r} of another type than {cls.__name__}"
            )
    if (bad := json_problem(described)) is not None:
        raise UnsupportedType(f"has the validator {name}, which cannot be described: {bad[1]}")
    attribute = subject.attribute or _VALUE

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        try:
            validator(None, attribute, value)
        except ValueError as error:
            text = rejection(error).removeprefix(f"{attribute.name!r} ")
            problems.append(Problem(path, shorten(text, 300)))
        except BaseException as error:
            reraise_control_flow(error)
            # A field's validator may want the instance, and its class runs it once more. Any other has the last word.
            if subject.attribute is None:
                problems.append(Problem(path, "is not acceptable"))

    return Rule(check, described, str(getattr(validator, "phrase", f"pass {name}")))


def _first_paragraph(validator: Any) -> str:
    """Return the first paragraph of a validator's docstring, as one line."""
    while isinstance(validator, partial):
        validator = cast("partial[Any]", validator).func
    doc = getattr(validator, "__doc__", None)
    return " ".join(doc.strip().split("\n\n")[0].split()) if isinstance(doc, str) else ""


#: An attribute for validators that name it in their messages.
_VALUE: attrs.Attribute[Any] = attrs.fields(attrs.make_class("Value", ["value"]))[0]


def parts_of(validator: Validator) -> Iterator[Validator]:
    """Yield the validators that attrs' `and_` has joined, or the validator itself."""
    for each in getattr(validator, "_validators", ()):
        yield from parts_of(each)
    if not hasattr(validator, "_validators"):
        yield validator


# ---- validators made of validators ---------------------------------------------------------------------------------


def _all_of(rules: Sequence[Rule]) -> Rule:
    if len(rules) == 1:
        return rules[0]

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        for rule in rules:
            rule.check(value, path, problems)

    return Rule(check, merged(rule.schema for rule in rules), " and ".join(rule.phrase for rule in rules))


def _and(subject: Subject, validator: Any) -> Rule:
    return subject.rules(validator._validators)


def _optional(subject: Subject, validator: Any) -> Rule:
    inner = attrs.evolve(subject, loaded=subject.loaded.without_none()).rule(validator.validator)

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        if value is not None:
            inner.check(value, path, problems)

    nullable = NoneType in subject.loaded.classes or object in subject.loaded.classes
    schema = {"anyOf": [inner.schema, {"type": "null"}]} if nullable and inner.schema else inner.schema
    return Rule(check, schema, inner.phrase)


def _or(subject: Subject, validator: Any) -> Rule:
    rules = [attrs.evolve(subject, strict=False).rule(each) for each in validator.validators]
    phrase = " or ".join(rule.phrase for rule in rules)

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        if not any(_passes(rule, value) for rule in rules):
            problems.append(Problem(path, f"must {phrase}, got {_shown_value(value)}"))

    return Rule(check, {"anyOf": [rule.schema for rule in rules]}, phrase)


def _not(subject: Subject, validator: Any) -> Rule:
    rule = attrs.evolve(subject, strict=False).rule(validator.validator)

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        if _passes(rule, value):
            problems.append(Problem(path, f"must not {rule.phrase}, got {_shown_value(value)}"))

    return Rule(check, {"not": rule.schema}, f"not {rule.phrase}")


def _passes(rule: Rule, value: Any) -> bool:
    problems: list[Problem] = []
    rule.check(value, "", problems)
    return not problems


def _deep_iterable(subject: Subject, validator: Any) -> Rule:
    guard = {"type": "array"} if subject.guard("deep_iterable(…)", "arrays", (list, tuple)) else {}
    member_rule = attrs.evolve(subject, loaded=subject.loaded.items or ANYTHING).rule(validator.member_validator)

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        if not is_array(value):
            problems.append(Problem(path, expected("an array", _json_value(value))))
            return
        for index, each in until_max_problems(enumerate(value), problems):
            member_rule.check(each, f"{path}[{index}]", problems)

    items = {"items": member_rule.schema} if member_rule.schema else {}
    rule = Rule(check, {**guard, **items}, f"have only items that each must {member_rule.phrase}")
    return _with_whole(subject, rule, validator.iterable_validator)


def _deep_mapping(subject: Subject, validator: Any) -> Rule:
    guard = {"type": "object"} if subject.guard("deep_mapping(…)", "objects", (dict,)) else {}
    keys = attrs.evolve(subject, loaded=TEXT).rules(_one_or_none(validator.key_validator))
    values = attrs.evolve(subject, loaded=subject.loaded.values or ANYTHING).rules(
        _one_or_none(validator.value_validator)
    )

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        if not is_object(value):
            problems.append(Problem(path, expected("an object", _json_value(value))))
            return
        for key, each in until_max_problems(value.items(), problems):
            names: list[Problem] = []
            keys.check(key, member_path(path, key), names)
            problems.extend(attrs.evolve(one, message=f"its name {one.message}") for one in names)
            values.check(each, member_path(path, key), problems)

    schema: Schema = {**guard, **({"propertyNames": keys.schema} if keys.schema else {})}
    schema |= {"additionalProperties": values.schema} if values.schema else {}
    phrases = [f"names that each must {keys.phrase}", f"values that each must {values.phrase}"]
    return _with_whole(subject, Rule(check, schema, f"have only {' and '.join(phrases)}"), validator.mapping_validator)


def _one_or_none(validator: Any) -> Sequence[Any]:
    """Return what `deep_mapping` checks keys or values with; it may check neither."""
    return () if validator is None else (validator,)


def _roles(subject: Subject, validator: roles) -> Rule:
    """Read `roles` as a custom validator that reports the path of each problem."""
    subject.guard(repr(validator), "arrays of messages", (list, tuple))
    rule = _authors_rule(subject, validator)

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        if value is not None and not is_array(value):
            problems.append(Problem(path, expected("an array of messages", _json_value(value))))
            return
        for inner, message in until_max_problems(validator.problems(value or ()), problems):
            problems.append(Problem(f"{path}{inner}", message))

    return attrs.evolve(rule, check=check)


def _with_whole(subject: Subject, rule: Rule, whole: Any) -> Rule:
    return rule if whole is None else _all_of([subject.rule(whole), rule])


_READERS: Mapping[type, Callable[[Subject, Any], Rule]] = {
    v.ge(0).__class__: _number,
    v.min_len(0).__class__: _min_length,
    v.max_len(0).__class__: _max_length,
    v.matches_re("").__class__: _pattern,
    v.in_(()).__class__: _choice,
    v.instance_of(str).__class__: _instance,
    v.and_().__class__: _and,
    v.optional(v.ge(0)).__class__: _optional,
    v.or_(v.ge(0), v.ge(0)).__class__: _or,
    v.not_(v.ge(0)).__class__: _not,
    v.deep_iterable(v.ge(0)).__class__: _deep_iterable,
    v.deep_mapping(v.ge(0), v.ge(0)).__class__: _deep_mapping,
    v.is_callable().__class__: _refused,
    roles: _roles,
}


# ---- shapes under constraints ---------------------------------------------------------------------------------------


def narrow(shape: Shape, validators: Sequence[Validator], *, attribute: attrs.Attribute[Any] | None = None) -> Shape:
    """Return the shape under validators. Raise `UnsupportedType` for one that does not apply to all of its values."""
    if not validators:
        return shape
    rule = Subject(shape.loaded, strict=True, attribute=attribute).rules(validators)

    def load(value: Any, path: str, problems: list[Problem]) -> Any:
        before = len(problems)
        loaded = shape.load(value, path, problems)
        if len(problems) == before:
            rule.check(loaded, path, problems)
        return loaded if len(problems) == before else INVALID

    schema = merged([shape.schema, rule.schema])
    if exclude_all(schema):
        raise UnsupportedType(f"must {rule.phrase}, which no value can. Correct the bounds")
    expects = f"{shape.expects} that must {rule.phrase}"
    return Shape(shape.rtvi_type, schema, load, expects=expects, loaded=shape.loaded)


def restriction(shape: Shape, validator: Validator) -> Rule:
    """Return the rule of a grant's validator. It may exclude some of the shape's types, but not all."""
    return Subject(shape.loaded, strict=False).rule(validator)


def restricted_schema(shape: Shape, validator: Validator) -> Schema:
    """Return the JSON Schema of a shape, narrowed by the validator of a grant."""
    return merged([shape.schema, restriction(shape, validator).schema])


def violations(shape: Shape, validator: Validator, value: Any, path: str = "$") -> list[Problem]:
    """Return the problems that a grant's validator has with a loaded value."""
    problems: list[Problem] = []
    restriction(shape, validator).check(value, path, problems)
    return problems
