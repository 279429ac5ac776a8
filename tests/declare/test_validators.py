"""attrs validators: each one is checked and described in our words, or refused where it is declared."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from attrs import field, frozen
from attrs.validators import (
    and_,
    deep_iterable,
    deep_mapping,
    ge,
    gt,
    in_,
    instance_of,
    is_callable,
    le,
    lt,
    matches_re,
    max_len,
    min_len,
    not_,
    optional,
    or_,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from rtvi_plugins.declare.annotations import read
from rtvi_plugins.declare.types import UnsupportedType, check
from rtvi_plugins.declare.validators import restricted_schema, violations


class Colour(Enum):
    """An enum."""

    RED = "red"
    BLUE = "blue"


@frozen
class Room:
    """A class whose fields have validators of attrs."""

    name: str = field(validator=and_(instance_of(str), max_len(3)))
    beds: int | None = field(default=None, validator=optional(ge(1)))
    tags: tuple[str, ...] = field(default=(), validator=deep_iterable(max_len(2), instance_of(tuple)))


def even(instance: object, attribute: object, value: int) -> None:
    """Must be even."""
    if value % 2:
        raise ValueError("must be even")


def unsaid(instance: object, attribute: object, value: int) -> None:  # noqa: D103 - that is what it is for
    raise ValueError("no")


del unsaid.__doc__

#: Types under every validator of attrs, with the schema that says what is checked.
DESCRIBED: list[tuple[Any, Any]] = [
    (Annotated[int, optional(ge(1))], {"type": "integer", "minimum": 1}),
    (Annotated[int | None, optional(ge(1))], {"anyOf": [{"minimum": 1}, {"type": "null"}]}),
    (Annotated[list[int], deep_iterable(ge(1))], {"items": {"minimum": 1}}),
    (Annotated[tuple[str, ...], deep_iterable(min_len(1), max_len(2))], {"maxItems": 2}),
    (Annotated[dict[str, int], deep_mapping(max_len(1), ge(0))], {"propertyNames": {"maxLength": 1}}),
    (Annotated[dict[str, int], deep_mapping(max_len(1), ge(0))], {"additionalProperties": {"minimum": 0}}),
    (Annotated[int, or_(lt(0), gt(9))], {"anyOf": [{"exclusiveMaximum": 0}, {"exclusiveMinimum": 9}]}),
    (Annotated[int, not_(in_([1, 2]))], {"not": {"enum": [1, 2]}}),
    (Annotated[str, not_(matches_re("a+"))], {"not": {"pattern": "^(?:a+)$"}}),
    (
        Annotated[int | str, or_(instance_of(str), ge(0))],
        {"anyOf": [{"type": ["string"]}, {"type": "number", "minimum": 0}]},
    ),
    (Annotated[Colour, in_([Colour.RED])], {"enum": ["red"]}),
    (Annotated[int, in_(range(3))], {"enum": [0, 1, 2]}),
    (Annotated[str, in_(("a", "b"))], {"enum": ["a", "b"]}),
    (Annotated[str, in_(frozenset("a"))], {"enum": ["a"]}),
    (Annotated[str | list[str], max_len(2)], {"maxLength": 2, "maxItems": 2}),
    (Annotated[str, matches_re("a", func=re.search)], {"pattern": "a"}),
    (Annotated[int, even], {"description": "Must be even."}),
    (Annotated[int, and_(ge(0), and_(le(9), even))], {"minimum": 0, "maximum": 9, "description": "Must be even."}),
]


def says(schema: Any, part: Any) -> bool:
    """Whether a schema contains all of a part, in itself or in a member."""
    return all(schema.get(name) == value for name, value in part.items()) or any(
        says(each, part) for each in schema.get("allOf", ())
    )


@pytest.mark.parametrize(("annotation", "part"), DESCRIBED)
def test_a_validator_is_described(annotation: Any, part: Any) -> None:
    """This is true also inside of other validators."""
    schema = read(annotation).schema
    Draft202012Validator.check_schema(schema)
    assert says(schema, part), schema


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 12) | st.sampled_from(["", "a", "b", "aa", "abc", "red"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "bc"]), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, max_examples=300)
@given(annotation=st.sampled_from([each for each, _ in DESCRIBED if "even" not in str(each)]), value=values)
def test_what_is_described_is_what_is_checked(annotation: Any, value: Any) -> None:
    """A value is accepted if and only if the schema allows it."""
    shape = read(annotation)
    validator: Any = Draft202012Validator(shape.schema)
    assert (not check(shape, value)[1]) == validator.is_valid(value)


MESSAGES: list[tuple[Any, Any, list[tuple[str, str]]]] = [
    (Annotated[int, ge(1)], 0, [("$", "must be >= 1, got 0")]),
    (Annotated[float, lt(2)], 2.5, [("$", "must be < 2, got 2.5")]),
    (Annotated[float, lt(2)], 9, [("$", "must be < 2, got 9")]),
    (Annotated[float, lt(2)], 1e300, [("$", "must be < 2, got 1e+300")]),
    (Annotated[str, max_len(20)], "a" * 30, [("$", "must have at most 20 characters, got 30")]),
    (Annotated[list[int], min_len(1)], [], [("$", "must have at least 1 item, got 0")]),
    (Annotated[dict[str, int], max_len(1)], {"a": 1, "b": 2}, [("$", "must have at most 1 field, got 2")]),
    (Annotated[str, matches_re("a+")], "b", [("$", "must match the pattern 'a+', got the string 'b'")]),
    (Annotated[str, matches_re(r"\+a")], "b", [("$", r"must match the pattern '\+a', got the string 'b'")]),
    (Annotated[str, in_(["a", "b"])], "c", [("$", "expected one of 'a', 'b', got the string 'c'")]),
    (Annotated[int, or_(lt(0), gt(9))], 5, [("$", "must be < 0 or be > 9, got 5")]),
    (Annotated[int, not_(in_([5]))], 5, [("$", "must not be one of 5, got 5")]),
    (Annotated[list[int], deep_iterable(ge(1))], [0, 1, -1], [
        ("$[0]", "must be >= 1, got 0"),
        ("$[2]", "must be >= 1, got -1"),
    ]),
    (Annotated[dict[str, int], deep_mapping(max_len(1), ge(0))], {"ab": -1}, [
        ("$.ab", "its name must have at most 1 character, got 2"),
        ("$.ab", "must be >= 0, got -1"),
    ]),
    (Annotated[int, even], 3, [("$", "must be even")]),
    (Room, {"name": "long", "beds": 0, "tags": ["abc"]}, [
        ("$.name", "must have at most 3 characters, got 4"),
        ("$.beds", "must be >= 1, got 0"),
        ("$.tags[0]", "must have at most 2 characters, got 3"),
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "value", "problems"), MESSAGES)
def test_a_broken_constraint_is_reported_in_plain_words(
    annotation: Any, value: Any, problems: list[tuple[str, str]]
) -> None:
    """At the path of the value, with what was found."""
    assert [(each.path, each.message) for each in check(read(annotation), value)[1]] == problems


#: What type checkers do not let an author write.
NO_VALIDATOR: Any = None

REFUSED: list[tuple[Any, str]] = [
    (Annotated[int | None, ge(0)], "accepts None, but ge(0) does not. Write Annotated[int, ge(0)] | None"),
    (Annotated[list[int] | None, max_len(3)], "Write Annotated[list[int], max_len(3)] | None"),
    (Annotated[str | None, matches_re("a")], "Write Annotated[str, matches_re('a')] | None"),
    (Annotated[Literal["a"] | None, in_(["a"])], "Write Annotated[Literal['a'], in_(…)] | None"),
    (Annotated[int | str, ge(0)], "ge(0), which does not apply to str"),
    (Annotated[str, ge(0)], "ge(0), which applies to numbers, not to str"),
    (Annotated[bool, ge(0)], "ge(0), which applies to numbers, not to bool"),
    (Annotated[int, max_len(3)], "which applies to strings, arrays and objects, not to int"),
    (Annotated[list[Any], deep_iterable(ge(0))], "does not apply to Any"),
    (Annotated[str, deep_iterable(max_len(1))], "which applies to arrays, not to str"),
    (Annotated[int, le(10**20)], "has more than 64 bits"),
    (Annotated[int, ge(Decimal("0.17"))], "ge(Decimal('0.17')), whose bound is not a number that JSON has"),
    (Annotated[float, le(float("inf"))], "JSON has no inf"),
    (Annotated[str, in_(["a", 1])], "with 1, which is not of type str"),
    (Annotated[str, in_("abc")], "which is not a list of choices"),
    (Annotated[int, in_(range(10**9))], "more than 1000 choices. Use ge and le"),
    (Annotated[str, matches_re("a", flags=re.IGNORECASE)], "which JSON Schema does not have"),
    (Annotated[str, matches_re(r"(?P<name>a)")], "'(?P' JSON Schema does not have"),
    (Annotated[str, matches_re(r"(?>a)b")], "'(?>' JSON Schema does not have"),
    (Annotated[str, matches_re(r"\Aa")], "JSON Schema does not have"),
    (Annotated[int, instance_of(str)], "instance_of(str), which no int is"),
    (Annotated[str, is_callable()], "which no JSON value passes"),
    (Annotated[int, and_(ge(0), NO_VALIDATOR)], "the validator None, which cannot be called"),
    (Annotated[int, unsaid], "the validator unsaid, which describes nothing. Give it a docstring"),
    (Literal[10**20], "has a choice that cannot be sent: the number 100000000000000000000 has more than 64 bits"),
    (Literal["\ud83c"], "half of a surrogate pair"),
]


@pytest.mark.parametrize(("annotation", "message"), REFUSED)
def test_a_constraint_that_cannot_be_described_is_refused(annotation: Any, message: str) -> None:
    """The error says what to write instead."""
    with pytest.raises(UnsupportedType) as raised:
        read(annotation)
    assert message in str(raised.value)


def test_a_field_of_a_class_says_where_a_none_was_forgotten() -> None:
    """The error shows how the field is to be written."""

    @frozen
    class Table:
        seats: int | None = field(default=None, validator=ge(1))

    Table.__annotations__["seats"] = int | None
    with pytest.raises(
        UnsupportedType, match=r"whose 'seats' accepts None, but ge\(1\) does not. Write optional\(ge\(1\)"
    ):
        read(Table)


BAD_DEFAULTS: list[tuple[Callable[[], Any], str]] = [
    (list, "has a default that holds a list, which all objects would share. Use field"),
    (lambda: ([],), "has a default that holds a list"),
    (lambda: 3, "has a default that does not fit its type"),
]


@pytest.mark.parametrize(("make", "message"), BAD_DEFAULTS)
def test_a_default_of_a_field_must_fit_and_must_not_be_shared(make: Callable[[], Any], message: str) -> None:
    """This is true for frozen classes too."""

    @frozen
    class Basket:
        items: list[str] = make()  # noqa: RUF009 - that is the mistake

    Basket.__annotations__["items"] = list[str]
    with pytest.raises(UnsupportedType) as raised:
        read(Basket)
    assert message in str(raised.value)


def test_a_grants_validator_may_rule_out_null() -> None:
    """The description excludes null, and the error names what was sent."""
    optional_number = read(int | None)
    assert [each.message for each in violations(optional_number, le(5), None)] == ["must be <= 5, got null"]
    schema = restricted_schema(optional_number, le(5))
    validator: Any = Draft202012Validator(schema)
    assert [validator.is_valid(value) for value in (None, 5, 6)] == [False, True, False]
    with pytest.raises(UnsupportedType):
        restricted_schema(read(str), le(5))


# ---- bounds that exclude each other --------------------------------------------------------------------------------

UNSATISFIABLE: list[Any] = [
    Annotated[int, ge(5), le(3)],
    Annotated[float, gt(3), lt(3)],
    Annotated[float, ge(3), lt(3)],
    Annotated[int, gt(3), lt(4)],
    Annotated[Annotated[int, ge(5)], le(3)],
    Annotated[str, min_len(5), max_len(3)],
    Annotated[list[int], min_len(2), max_len(1)],
]
SATISFIABLE: list[Any] = [
    Annotated[int, ge(3), le(3)],
    Annotated[float, gt(3), lt(4)],
    Annotated[int, gt(3), lt(5)],
    Annotated[str, min_len(3), max_len(3)],
]


def test_bounds_that_no_value_can_pass_are_rejected() -> None:
    """Every call would fail. The author gets the error at import."""
    for annotation in UNSATISFIABLE:
        with pytest.raises(UnsupportedType, match=r"which no value can\. Correct the bounds"):
            read(annotation)
    for annotation in SATISFIABLE:
        read(annotation)


class Described:
    """An author's validator, whose schema may be anything."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.json_schema = schema

    def __call__(self, instance: Any, attribute: Any, value: Any) -> None:
        """Accept everything."""


#: Schemas that name bounds that are none, or that cannot be joined with others.
ODD_SCHEMAS: list[tuple[dict[str, Any], str]] = [
    ({"minimum": "5"}, ""),
    ({"minimum": None}, ""),
    ({"allOf": [True]}, ""),
    ({"allOf": 5}, "whose json_schema has 'allOf' of another type than list"),
    ({"description": 5}, "whose json_schema has 'description' of another type than str"),
]


@pytest.mark.parametrize(("schema", "problem"), ODD_SCHEMAS)
def test_an_odd_schema_of_a_validator_raises_no_error_of_python(schema: dict[str, Any], problem: str) -> None:
    """It is described with the author's schema, or rejected with the validator's name."""
    annotation = Annotated[int, Described(schema), ge(3)]
    if not problem:
        read(annotation)
        return
    with pytest.raises(UnsupportedType, match=f"has the validator Described, {problem}"):
        read(annotation)
