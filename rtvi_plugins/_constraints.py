"""An attrs validator as a constraint: a check that speaks this project's words, and the JSON Schema that says the same.

A validator is either understood in both ways or refused when it is declared, so that clients are never bound by a
constraint that their description leaves out. attrs keeps the classes of its validators private; the fields that are
read here are what their `repr` documents.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cache, partial
from types import FunctionType, NoneType
from typing import Any, TypeAlias, cast

import attrs
from attrs import frozen
from attrs import validators as v

from ._interrupt import let_through
from ._json import MOST_PROBLEMS, below, clip, expected, found, is_array, is_object, uncarriable
from .errors import Problem, unknown

__all__ = (
    "ANYTHING",
    "TEXT",
    "Loads",
    "NoneRefused",
    "NotReadable",
    "Rule",
    "Schema",
    "Validator",
    "merged",
    "parts_of",
    "read_validators",
)

Validator: TypeAlias = Callable[[Any, Any, Any], Any]
Schema: TypeAlias = dict[str, Any]

#: The most choices of `in_` that are described one by one.
_MOST_CHOICES = 1000


class NotReadable(Exception):
    """An annotation or a validator that cannot be described; the text says what to write instead."""


class NoneRefused(NotReadable):
    """A constraint on an optional type that would reject its None."""

    def __init__(self, constraint: str) -> None:
        super().__init__(f"accepts None, but {constraint} does not. Write optional({constraint})")
        self.constraint = constraint


@frozen
class Loads:
    """The Python classes of what a type loads; of arrays what their items are, and of mappings their values."""

    classes: tuple[type, ...]
    items: Loads | None = None
    values: Loads | None = None

    def without_none(self) -> Loads:
        return attrs.evolve(self, classes=tuple(each for each in self.classes if each is not NoneType))

    def __or__(self, other: Loads) -> Loads:
        classes = tuple(dict.fromkeys((*self.classes, *other.classes)))
        return Loads(classes, _either(self.items, other.items), _either(self.values, other.values))


def _either(one: Loads | None, other: Loads | None) -> Loads | None:
    return one | other if one is not None and other is not None else one or other


#: What `Any` loads.
ANYTHING = Loads((object,))
TEXT = Loads((str,))


@frozen
class Rule:
    """A constraint. `check` appends what is wrong with a loaded value; `phrase` completes "must …"."""

    check: Callable[[Any, str, list[Problem]], None]
    schema: Schema
    phrase: str


@frozen
class _Reader:
    """Reads the validators of one place: what they apply to, and the attrs field that they stand on, if any.

    A strict reader refuses a validator that some value of the type could never pass; any other describes which values
    it is for.
    """

    loads: Loads
    strict: bool
    attribute: attrs.Attribute[Any] | None = None

    def read(self, validator: Any) -> Rule:
        for cls, read in _READERS.items():
            if validator.__class__ is cls:
                return read(self, validator)
        return _own(self, validator)

    def lenient(self) -> _Reader:
        return attrs.evolve(self, strict=False)

    def guard(self, spelled: str, noun: str, classes: tuple[type, ...]) -> bool:
        """Whether the type has values of other classes too, for which the schema must say whom it is about."""
        others = [each for each in self.loads.classes if not _is_a(each, classes)]
        if len(others) == len(self.loads.classes) and object not in others:
            raise NotReadable(f"has {spelled}, which applies to {noun}, not to {_names(others)}")
        if others and self.strict:
            if others == [NoneType]:
                raise NoneRefused(spelled)
            raise NotReadable(
                f"has {spelled}, which does not apply to {_names(others)}. Put it on the other types alone"
            )
        return bool(others)


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


def merged(schemas: Iterable[Schema]) -> Schema:
    """The schema that says what all of these say; where two use the same word, both hold."""
    schema: Schema = {}
    for more in schemas:
        if schema.keys() & more.keys() - {"description"}:
            schema = {**schema, "allOf": [*schema.get("allOf", ()), more]}
        else:
            texts = [each["description"] for each in (schema, more) if "description" in each]
            schema = {**schema, **more, **({"description": " ".join(texts)} if texts else {})}
    return schema


def _is_a(cls: type, classes: tuple[type, ...]) -> bool:
    """Whether values of a class are of these as JSON sees it, where a bool is no number."""
    return issubclass(cls, classes) and (not issubclass(cls, bool) or bool in classes)


def _names(classes: Iterable[type]) -> str:
    return " or ".join({NoneType: "None", object: "Any"}.get(each, each.__name__) for each in classes)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _got(value: Any) -> str:
    plain = _plain(value)
    return clip(repr(plain)) if _is_a(plain.__class__, (int, float)) else found(plain)


def _carried(spelled: str, value: Any) -> Any:
    if (bad := uncarriable(value)) is not None:
        raise NotReadable(f"has {spelled}, which cannot be described: {bad[1]}")
    return value


# ---- numbers, lengths, patterns ------------------------------------------------------------------------------------

_OPERATORS: Mapping[str, tuple[str, str]] = {
    ">=": ("ge", "minimum"),
    ">": ("gt", "exclusiveMinimum"),
    "<=": ("le", "maximum"),
    "<": ("lt", "exclusiveMaximum"),
}


def _leaf(classes: tuple[type, ...], passes: Callable[[Any], bool], schema: Schema, phrase: str) -> Rule:
    """A rule for values of some classes, which rejects all others."""

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        if not (_is_a(value.__class__, classes) and passes(value)):
            problems.append(Problem(path, f"must {phrase}, got {_got(value)}"))

    return Rule(check, schema, phrase)


def _number(reader: _Reader, validator: Any) -> Rule:
    name, word = _OPERATORS[validator.compare_op]
    bound, spelled = validator.bound, f"{name}({validator.bound!r})"
    if not _is_a(bound.__class__, (int, float)):
        raise NotReadable(f"has {spelled}, whose bound is not a number that JSON has. Use an int or a float")
    _carried(spelled, bound)
    guard = {"type": "number"} if reader.guard(spelled, "numbers", (int, float)) else {}
    compare = validator.compare_func
    return _leaf(
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


def _min_len(reader: _Reader, validator: Any) -> Rule:
    return _length(reader, "min", "at least", validator.min_length, lambda size, bound: size >= bound)


def _max_len(reader: _Reader, validator: Any) -> Rule:
    return _length(reader, "max", "at most", validator.max_length, lambda size, bound: size <= bound)


def _length(reader: _Reader, side: str, least: str, bound: Any, passes: Callable[[int, int], bool]) -> Rule:
    spelled = f"{side}_len({bound!r})"
    if bound.__class__ is not int or bound < 0:
        raise NotReadable(f"has {spelled}, whose length is not a whole number from 0")
    _carried(spelled, bound)
    classes = tuple(cls for cls, *_ in _COUNTED)
    guarded = reader.guard(spelled, "strings, arrays and objects", classes)
    counted = [
        each for each in _COUNTED if any(issubclass(cls, each[0]) or cls is object for cls in reader.loads.classes)
    ]
    types = dict.fromkeys(json for _, json, *_ in counted)
    schema: Schema = {"type": [*types]} if guarded else {}
    schema |= {f"{side}{suffix}": bound for *_, suffix in counted}
    nouns = dict.fromkeys(noun for *_, noun, _ in counted)
    phrase = f"have {least} {bound} {' or '.join(_plural(noun, bound) for noun in nouns)}"

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        noun = next((noun for cls, _, noun, _ in _COUNTED if isinstance(value, cls)), None)
        if noun is None:
            problems.append(Problem(path, f"must {phrase}, got {_got(value)}"))
        elif not passes(len(value), bound):
            problems.append(Problem(path, f"must have {least} {bound} {_plural(noun, bound)}, got {len(value)}"))

    return Rule(check, schema, phrase)


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


#: A schema's pattern may match anywhere; Python's methods are told apart by where they begin and end.
_ANCHORED = {"fullmatch": "^(?:{})$", "match": "^(?:{})"}

#: What Python's expressions have and JSON Schema's (ECMA 262) do not.
_PYTHON_ONLY = re.compile(r"(?<!\\)(?:\\\\)*(\(\?P|\(\?#|\(\?[aiLmsux-]+[:)]|\(\?\(|\\[AZ])")


def _pattern(reader: _Reader, validator: Any) -> Rule:
    compiled: re.Pattern[Any] = validator.pattern
    pattern = compiled.pattern
    spelled = f"matches_re({pattern!r})"
    if not isinstance(pattern, str):
        raise NotReadable(f"has {spelled}, whose pattern is bytes. Write a str")
    if special := _PYTHON_ONLY.search(pattern):
        raise NotReadable(
            f"has {spelled}, whose {special[1]!r} JSON Schema does not have. Write the pattern without it"
        )
    if flags := re.RegexFlag(compiled.flags) & ~re.UNICODE:
        raise NotReadable(f"has {spelled} with {flags!r}, which JSON Schema does not have. Write [Aa] in the pattern")
    _carried(spelled, pattern)
    guard = {"type": "string"} if reader.guard(spelled, "strings", (str,)) else {}
    matches = validator.match_func
    schema = {**guard, "pattern": _ANCHORED.get(matches.__name__, "{}").format(pattern)}
    return _leaf((str,), lambda value: bool(matches(value)), schema, f"match the pattern {pattern!r}")


# ---- choices and classes -------------------------------------------------------------------------------------------


def _choice(reader: _Reader, validator: Any) -> Rule:
    options: list[Any] = _listed(validator.options)
    values = [_carried("in_(…)", _plain(each)) for each in options]
    strangers = [each for each in options if not any(_can_be(each, cls) for cls in reader.loads.classes)]
    if strangers:
        raise NotReadable(f"has in_(…) with {clip(repr(strangers[0]))}, which is no {_names(reader.loads.classes)}")
    if reader.strict and NoneType in reader.loads.classes and None not in values:
        raise NoneRefused("in_(…)")
    allowed = {_key(each) for each in values}
    listed = clip(", ".join(repr(each) for each in values), 300)

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        plain = _plain(value)
        if (plain is None or isinstance(plain, str | int | float)) and _key(plain) in allowed:
            return
        texts = [each for each in values if isinstance(each, str)]
        suggestion = unknown("value", plain, texts).suggestion if isinstance(plain, str) else None
        problems.append(Problem(path, expected(f"one of {listed}", plain), suggestion))

    return Rule(check, {"enum": values}, f"be one of {listed}")


def _listed(options: Any) -> list[Any]:
    if isinstance(options, str | bytes) or not isinstance(options, Iterable):
        raise NotReadable(f"has in_({clip(repr(options))}), which is no list of choices. List each of them")
    listed: list[Any] = []
    for each in cast("Iterable[Any]", options):
        listed.append(each)
        if len(listed) > _MOST_CHOICES:
            raise NotReadable(f"has in_(…) with more than {_MOST_CHOICES} choices. Use ge and le, or matches_re")
        if not isinstance(_plain(each), str | int | float | None):
            raise NotReadable(f"has in_(…) with {clip(repr(each))}, which is no string, number, bool or None")
    if not listed:
        raise NotReadable("has in_(…) without a choice")
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


def _instance(reader: _Reader, validator: Any) -> Rule:
    wanted: Any = validator.type
    classes = cast("tuple[type, ...]", wanted if isinstance(wanted, tuple) else (wanted,))
    spelled = f"instance_of({_names(classes)})"
    right = [each for each in reader.loads.classes if issubclass(each, classes)]
    wrong = [each for each in reader.loads.classes if each not in right]
    if not right:
        raise NotReadable(f"has {spelled}, which no {_names(wrong)} is. Annotate it so")
    if wrong == [NoneType] and reader.strict:
        raise NoneRefused(spelled)
    types = {_JSON_TYPES.get(each, "") for each in right}
    if wrong and ("" in types or types & {_JSON_TYPES.get(each, "") for each in wrong}):
        raise NotReadable(f"has {spelled}, which JSON cannot tell from {_names(wrong)}. Annotate it so")

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        if not isinstance(value, classes):
            problems.append(Problem(path, expected(_names(classes), _plain(value))))

    return Rule(check, {"type": sorted(types)} if wrong else {}, f"be {_names(classes)}")


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
    rules = [reader.lenient().read(each) for each in validator.validators]
    phrase = " or ".join(each.phrase for each in rules)

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        if not any(_passes(each, value) for each in rules):
            problems.append(Problem(path, f"must {phrase}, got {_got(value)}"))

    return Rule(check, {"anyOf": [each.schema for each in rules]}, phrase)


def _not(reader: _Reader, validator: Any) -> Rule:
    rule = reader.lenient().read(validator.validator)

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        if _passes(rule, value):
            problems.append(Problem(path, f"must not {rule.phrase}, got {_got(value)}"))

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
            problems.append(Problem(path, expected("an array", _plain(value))))
            return
        for index, each in enumerate(value):
            if len(problems) >= MOST_PROBLEMS:
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
            problems.append(Problem(path, expected("an object", _plain(value))))
            return
        for key, each in value.items():
            if len(problems) >= MOST_PROBLEMS:
                return
            names: list[Problem] = []
            keys.check(key, below(path, key), names)
            problems.extend(attrs.evolve(one, message=f"its name {one.message}") for one in names)
            values.check(each, below(path, key), problems)

    schema: Schema = {**guard, **({"propertyNames": keys.schema} if keys.schema else {})}
    schema |= {"additionalProperties": values.schema} if values.schema else {}
    phrases = [f"names that each must {keys.phrase}", f"values that each must {values.phrase}"]
    return _with_whole(reader, Rule(check, schema, f"have only {' and '.join(phrases)}"), validator.mapping_validator)


def _or_nothing(validator: Any) -> Any:
    return cast("Any", v.and_()) if validator is None else validator


def _with_whole(reader: _Reader, rule: Rule, whole: Any) -> Rule:
    return rule if whole is None else _all([reader.read(whole), rule])


# ---- validators of an author's own ---------------------------------------------------------------------------------


def _refused(reader: _Reader, validator: Any) -> Rule:
    raise NotReadable(f"has {validator!r}, which no JSON value passes. Remove it")


def _own(reader: _Reader, validator: Any) -> Rule:
    """A validator that attrs does not bring: described by its `json_schema`, or by its docstring."""
    name = getattr(validator, "__name__", validator.__class__.__name__)
    if isinstance(validator, FunctionType) and validator.__module__ == v.ge.__module__:
        raise NotReadable(f"has the validator {name} without its bound. Call it, as in ge(0)")
    if not callable(validator):
        raise NotReadable(f"has the validator {clip(repr(validator))}, which cannot be called")
    schema, doc = getattr(validator, "json_schema", None), _doc(validator)
    if schema is None and not doc:
        raise NotReadable(
            f"has the validator {name}, which describes nothing. Give it a docstring, or an attribute json_schema"
        )
    if not isinstance(schema, dict | None):
        raise NotReadable(f"has the validator {name}, whose json_schema is not a dict")
    described: Schema = {"description": doc} if schema is None else cast(Schema, schema)
    if (bad := uncarriable(described)) is not None:
        raise NotReadable(f"has the validator {name}, which cannot be described: {bad[1]}")
    attribute = reader.attribute

    def check(value: Any, path: str, problems: list[Problem]) -> None:
        try:
            validator(None, attribute or _attribute("value"), value)
        except ValueError as error:
            text = str(error.args[0] if error.args else error).removeprefix(
                f"{(attribute or _attribute('value')).name!r} "
            )
            problems.append(Problem(path, clip(text, 300)))
        except BaseException as error:
            let_through(error)
            # A field's validator may want the instance, and its class runs it once more. Any other has the last word.
            if attribute is None:
                problems.append(Problem(path, "is not acceptable"))

    return Rule(check, described, f"pass {name}")


def _doc(validator: Any) -> str:
    """The first paragraph of a validator's docstring, as one line."""
    while isinstance(validator, partial):
        validator = cast("partial[Any]", validator).func
    doc = getattr(validator, "__doc__", None)
    return " ".join(doc.strip().split("\n\n")[0].split()) if isinstance(doc, str) else ""


@cache
def _attribute(name: str) -> attrs.Attribute[Any]:
    """An attribute for validators that name it in their messages."""
    made = attrs.make_class("Value", {name: attrs.field()})
    return cast("attrs.Attribute[Any]", attrs.fields(made)[0])


_READERS: Mapping[type, Callable[[_Reader, Any], Rule]] = {
    v.ge(0).__class__: _number,
    v.min_len(0).__class__: _min_len,
    v.max_len(0).__class__: _max_len,
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
}
