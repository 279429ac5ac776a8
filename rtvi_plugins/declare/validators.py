"""Single validators as constraints: those that attrs brings, and those of an author's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from functools import cache, partial
from types import FunctionType, NoneType
from typing import Any, cast

import attrs
from attrs import validators as v

from ..errors import Problem, unknown
from ..utils.control_flow import reraise_control_flow
from ..utils.diagnostics import shorten
from ..utils.json_values import expected, json_problem
from .rules import Rule, Subject, class_names, describable, got, is_a, plain, rule_for
from .shapes import NoneRejected, Schema, UnsupportedType

__all__ = ("choice", "instance", "max_length", "min_length", "number", "own", "pattern_of", "refused")

#: The most choices of `in_` that are described one by one.
_MOST_CHOICES = 1000


# ---- numbers, lengths, patterns ------------------------------------------------------------------------------------

_OPERATORS: Mapping[str, tuple[str, str]] = {
    ">=": ("ge", "minimum"),
    ">": ("gt", "exclusiveMinimum"),
    "<=": ("le", "maximum"),
    "<": ("lt", "exclusiveMaximum"),
}


def number(subject: Subject, validator: Any) -> Rule:
    name, word = _OPERATORS[validator.compare_op]
    bound, written = validator.bound, f"{name}({validator.bound!r})"
    if not is_a(bound.__class__, (int, float)):
        raise UnsupportedType(f"has {written}, whose bound is not a number that JSON has. Use an int or a float")
    describable(written, bound)
    guard = {"type": "number"} if subject.guard(written, "numbers", (int, float)) else {}
    compare = validator.compare_func
    return rule_for(
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


def min_length(subject: Subject, validator: Any) -> Rule:
    return _length(subject, "min", "at least", validator.min_length, lambda size, bound: size >= bound)


def max_length(subject: Subject, validator: Any) -> Rule:
    return _length(subject, "max", "at most", validator.max_length, lambda size, bound: size <= bound)


def _length(subject: Subject, side: str, least: str, bound: Any, passes: Callable[[int, int], bool]) -> Rule:
    written = f"{side}_len({bound!r})"
    if bound.__class__ is not int or bound < 0:
        raise UnsupportedType(f"has {written}, whose length is not a whole number from 0")
    describable(written, bound)
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
            problems.append(Problem(path, f"must {phrase}, got {got(value)}"))
        elif not passes(len(value), bound):
            problems.append(Problem(path, f"must have {least} {bound} {_plural(noun, bound)}, got {len(value)}"))

    return Rule(check, schema, phrase)


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


#: A schema's pattern may match anywhere; Python's methods differ in where a match begins and ends.
_ANCHORED = {"fullmatch": "^(?:{})$", "match": "^(?:{})"}

#: What Python's expressions have and JSON Schema's (ECMA 262) do not.
_PYTHON_ONLY = re.compile(r"(?<!\\)(?:\\\\)*(\(\?P|\(\?#|\(\?[aiLmsux-]+[:)]|\(\?\(|\(\?>|\\[AZ])")


def pattern_of(subject: Subject, validator: Any) -> Rule:
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
    describable(written, pattern)
    guard = {"type": "string"} if subject.guard(written, "strings", (str,)) else {}
    matches = validator.match_func
    schema = {**guard, "pattern": _ANCHORED.get(matches.__name__, "{}").format(pattern)}
    return rule_for((str,), lambda value: bool(matches(value)), schema, f"match the pattern {pattern!r}")


# ---- choices and classes -------------------------------------------------------------------------------------------


def choice(subject: Subject, validator: Any) -> Rule:
    options: list[Any] = _listed(validator.options)
    values = [describable("in_(…)", plain(each)) for each in options]
    strangers = [each for each in options if not any(_can_be(each, cls) for cls in subject.loaded.classes)]
    if strangers:
        raise UnsupportedType(
            f"has in_(…) with {shorten(repr(strangers[0]))}, which is no {class_names(subject.loaded.classes)}"
        )
    if subject.strict and NoneType in subject.loaded.classes and None not in values:
        raise NoneRejected("in_(…)")
    allowed = {_key(each) for each in values}
    listed = shorten(", ".join(repr(each) for each in values), 300)

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        sent = plain(value)
        if (sent is None or isinstance(sent, str | int | float)) and _key(sent) in allowed:
            return
        texts = [each for each in values if isinstance(each, str)]
        suggestion = unknown("value", sent, texts).suggestion if isinstance(sent, str) else None
        problems.append(Problem(path, expected(f"one of {listed}", sent), suggestion))

    return Rule(check, {"enum": values}, f"be one of {listed}")


def _listed(options: Any) -> list[Any]:
    if isinstance(options, str | bytes) or not isinstance(options, Iterable):
        raise UnsupportedType(f"has in_({shorten(repr(options))}), which is no list of choices. List each of them")
    listed: list[Any] = []
    for each in cast("Iterable[Any]", options):
        listed.append(each)
        if len(listed) > _MOST_CHOICES:
            raise UnsupportedType(f"has in_(…) with more than {_MOST_CHOICES} choices. Use ge and le, or matches_re")
        if not isinstance(plain(each), str | int | float | None):
            raise UnsupportedType(f"has in_(…) with {shorten(repr(each))}, which is no string, number, bool or None")
    if not listed:
        raise UnsupportedType("has in_(…) without a choice")
    return listed


def _key(value: Any) -> Any:
    return (value.__class__ is bool, value)


def _can_be(option: Any, cls: type) -> bool:
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


def instance(subject: Subject, validator: Any) -> Rule:
    wanted: Any = validator.type
    classes = cast("tuple[type, ...]", wanted if isinstance(wanted, tuple) else (wanted,))
    written = f"instance_of({class_names(classes)})"
    right = [each for each in subject.loaded.classes if issubclass(each, classes)]
    wrong = [each for each in subject.loaded.classes if each not in right]
    if not right:
        raise UnsupportedType(f"has {written}, which no {class_names(wrong)} is. Annotate it so")
    if wrong == [NoneType] and subject.strict:
        raise NoneRejected(written)
    types = {_JSON_TYPES.get(each, "") for each in right}
    if wrong and ("" in types or types & {_JSON_TYPES.get(each, "") for each in wrong}):
        raise UnsupportedType(f"has {written}, which JSON cannot tell from {class_names(wrong)}. Annotate it so")

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        if not isinstance(value, classes):
            problems.append(Problem(path, expected(class_names(classes), plain(value))))

    return Rule(check, {"type": sorted(types)} if wrong else {}, f"be {class_names(classes)}")


# ---- validators of an author's own ---------------------------------------------------------------------------------


def refused(subject: Subject, validator: Any) -> Rule:
    raise UnsupportedType(f"has {validator!r}, which no JSON value passes. Remove it")


def own(subject: Subject, validator: Any) -> Rule:
    """Read a validator that is not from attrs. Its `json_schema` or its docstring describes it."""
    name = getattr(validator, "__name__", validator.__class__.__name__)
    if isinstance(validator, FunctionType) and validator.__module__ == v.ge.__module__:
        raise UnsupportedType(f"has the validator {name} without its bound. Call it, as in ge(0)")
    if not callable(validator):
        raise UnsupportedType(f"has the validator {shorten(repr(validator))}, which cannot be called")
    schema, doc = getattr(validator, "json_schema", None), _doc(validator)
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
                f"has the validator {name}, whose json_schema has, as its {keyword}, what is no {cls.__name__}"
            )
    if (bad := json_problem(described)) is not None:
        raise UnsupportedType(f"has the validator {name}, which cannot be described: {bad[1]}")
    attribute = subject.attribute

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        try:
            validator(None, attribute or _attribute("value"), value)
        except ValueError as error:
            text = str(error.args[0] if error.args else error).removeprefix(
                f"{(attribute or _attribute('value')).name!r} "
            )
            problems.append(Problem(path, shorten(text, 300)))
        except BaseException as error:
            reraise_control_flow(error)
            # A field's validator may want the instance, and its class runs it once more. Any other has the last word.
            if attribute is None:
                problems.append(Problem(path, "is not acceptable"))

    return Rule(check, described, f"pass {name}")


def _doc(validator: Any) -> str:
    """Return the first paragraph of a validator's docstring, as one line."""
    while isinstance(validator, partial):
        validator = cast("partial[Any]", validator).func
    doc = getattr(validator, "__doc__", None)
    return " ".join(doc.strip().split("\n\n")[0].split()) if isinstance(doc, str) else ""


@cache
def _attribute(name: str) -> attrs.Attribute[Any]:
    """Return an attribute for validators that name it in their messages."""
    made = attrs.make_class("Value", {name: attrs.field()})
    return cast("attrs.Attribute[Any]", attrs.fields(made)[0])
