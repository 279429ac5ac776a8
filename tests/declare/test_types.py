"""A type has a check, a loader and a description. They agree with each other."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, IntEnum, StrEnum
from typing import (
    Annotated,
    Any,
    ClassVar,
    ForwardRef,
    Generic,
    Literal,
    NewType,
    NotRequired,
    Optional,
    Required,
    TypeVar,
)

import pytest
from attrs import define, field, frozen, make_class
from attrs.validators import and_, ge, gt, in_, le, lt, matches_re, max_len, min_len, optional
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from typing_extensions import Doc, TypeAliasType, TypedDict

from rtvi_plugins.declare.annotations import read
from rtvi_plugins.declare.to_json import to_json
from rtvi_plugins.declare.types import UnsupportedType, check
from rtvi_plugins.declare.validators import narrow, violations
from rtvi_plugins.security import http_url


class Pace(StrEnum):
    """An enum whose members are strings."""

    SLOW = "slow"


class Colour(Enum):
    """An enum whose members have values."""

    RED = "red"
    BLUE = "blue"


class Floor(IntEnum):
    """An enum whose members are numbers."""

    GROUND = 0
    FIRST = 1


class Nobody(Enum):
    """An enum without members."""


@frozen
class Guest:
    """A class with a required field, a bounded one, and one that is not sent."""

    name: str
    age: Annotated[int, ge(0)] = 0
    _nick: str | None = field(default=None, alias="nick")
    seen: bool = field(default=False, init=False)


@frozen
class Stay:
    """A class with fields of other classes."""

    guests: tuple[Guest, ...]
    room: Annotated[str, Doc("Which one.")] = "1"
    colour: Colour = Colour.RED


class Booking(TypedDict, total=False):
    """A TypedDict with qualifiers in postponed annotations."""

    nights: Required[int]
    guest: Required[Guest]
    note: NotRequired[str]
    tags: list[str]


class Whole(TypedDict):
    """A TypedDict with optional keys and a required one."""

    name: str
    note: NotRequired[str]
    tip: Annotated[NotRequired[int], ge(0)]


Nights = NewType("Nights", int)

Speed = TypeAliasType("Speed", Annotated[float, ge(0)] | Literal["slow"])


class Circle(TypedDict):
    """A class that contains itself."""

    inner: NotRequired[Circle]


def above_low(range: Any, attribute: object, value: int) -> None:
    """A validator that uses the instance."""
    if value < range.low:
        raise ValueError("high is below low")


@define
class Range:
    """A class whose validator reads another field."""

    low: int
    high: int = field(validator=above_low)


@define
class Fragile:
    """A class that raises when an object is made."""

    name: str

    def __attrs_post_init__(self) -> None:
        raise RuntimeError("words of an exception")


class Unsayable:
    """An object without a text."""

    def __str__(self) -> str:
        raise LookupError


@define
class Wordless:
    """A class that rejects its values and cannot say why."""

    name: str

    def __attrs_post_init__(self) -> None:
        raise ValueError(Unsayable())


@define
class Compared:
    """A class whose `==` raises."""

    low: int | None

    def __attrs_post_init__(self) -> None:
        assert self.low > 0  # type: ignore[operator]  # the author's mistake


def accepts(annotation: Any, value: Any) -> bool:
    """Whether the type accepts a value."""
    return not check(read(annotation), value)[1]


def loaded(annotation: Any, value: Any) -> Any:
    """The value that a function would get."""
    found, problems = check(read(annotation), value)
    assert problems == []
    return found


def problems_of(annotation: Any, value: Any) -> list[tuple[str, str]]:
    """The path and the message of each problem of a value."""
    return [(problem.path, problem.message) for problem in check(read(annotation), value)[1]]


# ---- what each type accepts ----------------------------------------------------------------------------------------

ACCEPTED: list[tuple[Any, Any, Any]] = [
    (str, "", ""),
    (bool, False, False),
    (int, 3, 3),
    (int, 10**400, 10**400),
    (int, 2.0, 2),
    (int, -0.0, 0),
    (int, 2.0**53 - 1, 2**53 - 1),
    (Annotated[int, ge(1)], 2.0, 2),
    (int | None, 2.0, 2),
    (list[int], [1, 2.0], [1, 2]),
    (Literal["a", 1], 1.0, 1),
    (Floor, 1.0, Floor.FIRST),
    (Pace, "slow", Pace.SLOW),
    (Literal["a", None], None, None),
    (Literal["a", None], "a", "a"),
    (list[Annotated[int, optional([ge(0), le(5)])]], [5], [5]),
    (float, 3, 3.0),
    (float, 0.5, 0.5),
    (Literal["a", 1], 1, 1),
    (Literal["a", "b"] | str, "c", "c"),
    (Colour, "red", Colour.RED),
    (Floor, 1, Floor.FIRST),
    (Optional[int], None, None),  # noqa: UP045 - both spellings are read
    (int | None, 3, 3),
    (int | str, "3", "3"),
    (None, None, None),
    (list[int], [1, 2], [1, 2]),
    (tuple[int, ...], [1, 2], (1, 2)),
    (tuple[int, str], [1, "a"], (1, "a")),
    (Sequence[Colour], ["red"], (Colour.RED,)),
    (list[Any], [1, [None, {}]], [1, [None, {}]]),
    *((each, value, value) for each in (Any, object, Any | None) for value in (None, True, 1.5, "a", [[1]], {"a": 1})),
    (dict[str, int], {"a": 1}, {"a": 1}),
    (Mapping[str, list[bool]], {"a": [True]}, {"a": [True]}),
    (dict[str, Any], {"a": {"b": [1.5]}}, {"a": {"b": [1.5]}}),
    (Guest, {"name": "Ada", "nick": "A"}, Guest("Ada", nick="A")),
    (Stay, {"guests": [{"name": "Ada"}], "colour": "blue"}, Stay((Guest("Ada"),), colour=Colour.BLUE)),
    (Booking, {"nights": 1, "guest": {"name": "Ada"}}, {"nights": 1, "guest": Guest("Ada")}),
    (Whole, {"name": "Ada"}, {"name": "Ada"}),
    (Nights, 2, 2),
    (list[Speed], [1, "slow"], [1.0, "slow"]),
    (Range, {"low": 1, "high": 2}, Range(1, 2)),
]

#: JSON's null and what is empty, whose types no checker could tell.
NULL: Any = None
EMPTY: Any = {}
NO_ITEMS: Any = []
REFUSED: list[tuple[Any, Any]] = [
    *((str, value) for value in (1, None, ["a"], b"a")),
    *((bool, value) for value in (0, 1, "true", NULL)),
    *((int, value) for value in (True, 3.5, "3", float("inf"), float("nan"), 2.0**53, -1e300, NULL)),
    *((float, value) for value in (True, "3", float("nan"), float("inf"), 10**400, NULL)),
    *((Literal["a", 1], value) for value in ("b", True, 1.5, 2.0, NULL, NO_ITEMS)),
    *((Literal[True], value) for value in (1, "true")),
    *((Literal["a"] | str, value) for value in (1, NULL)),
    *((Colour, value) for value in ("RED", "green", 1, NULL, EMPTY)),
    *((Floor, value) for value in (True, 2, "0")),
    *((int | None, value) for value in ("a", False, 1.5)),
    *((list[int], value) for value in ("ab", EMPTY, NULL, [1, "a"], [True])),
    *((tuple[int, str], value) for value in ([1], [1, "a", 2], ["a", 1])),
    *((dict[str, int], value) for value in (NO_ITEMS, {"a": "b"}, {1: 1}, NULL)),
    *((Any, value) for value in (float("nan"), {1}, {1: 1}, [[float("inf")]])),
    *((dict[str, Any], value) for value in ({"a": float("nan")}, {"a": {1, 2}}, {"a": {1: 1}})),
    *(
        (Guest, value)
        for value in (EMPTY, NO_ITEMS, {"name": 1}, {"name": "a", "age": -1}, {"name": "a", "seen": True})
    ),
    *((Booking, value) for value in (EMPTY, {"nights": 1}, {"nights": 1, "guest": {"name": "a"}, "tags": [1]})),
    *((Whole, value) for value in (EMPTY, {"name": "a", "note": None}, {"name": "a", "more": 1})),
    (Whole, {"name": "a", "tip": -1}),
    (Nights, "2"),
    *((Speed, value) for value in (-1, "fast")),
    *((Range, value) for value in ({"low": 3, "high": 2}, {"low": 3})),
]


@pytest.mark.parametrize(("annotation", "value", "given"), ACCEPTED)
def test_a_value_of_the_type_is_loaded(annotation: Any, value: Any, given: Any) -> None:
    """The loaded value has exactly the class of the annotation."""
    found = loaded(annotation, value)
    assert found == given
    assert found.__class__ is given.__class__


@pytest.mark.parametrize(("annotation", "value"), REFUSED)
def test_a_value_of_another_type_is_refused(annotation: Any, value: Any) -> None:
    """Nothing is converted, and nothing is raised."""
    assert not accepts(annotation, value)


@pytest.mark.parametrize(("annotation", "value", "given"), ACCEPTED)
def test_a_loaded_value_turns_back_into_what_was_sent(annotation: Any, value: Any, given: Any) -> None:
    """Results have the same form as arguments of the same type."""
    assert accepts(annotation, to_json(given))
    assert loaded(annotation, to_json(given)) == given


# ---- what a type says of itself ------------------------------------------------------------------------------------

WORDS: dict[str, list[Any]] = {
    "string": [str, Literal["a"], Literal["a"] | str, Colour, str | None],
    "bool": [bool, Literal[True], bool | None],
    "number": [int, float, Literal[1], Floor, int | None, Annotated[float, ge(0)]],
    "array": [list[int], tuple[int, ...], Sequence[str], tuple[int, str], list[Any] | None],
    "object": [dict[str, int], Mapping[str, Any], Guest, Booking, Guest | None, Any],
}


@pytest.mark.parametrize("annotation", [Any, list[Any], dict[str, Any], list[dict[str, Any]] | None])
def test_a_loaded_value_shares_nothing_with_what_was_sent(annotation: Any) -> None:
    """A function may change the value that it gets."""
    sent: Any = [{"a": [{"b": [1]}]}] if "list" in str(annotation) or annotation is Any else {"a": [{"b": [1]}]}
    loaded: Any = check(read(annotation), sent)[0]
    assert loaded == sent
    inner: Any = loaded if "a" in loaded else loaded[0]
    inner["a"][0]["b"].append(2)
    assert "2" not in json.dumps(sent)


@pytest.mark.parametrize(("word", "annotation"), [(word, each) for word, all in WORDS.items() for each in all])
def test_a_type_has_the_word_that_clients_know(word: str, annotation: Any) -> None:
    """An optional type has the name of the type without None."""
    assert read(annotation).rtvi_type == word


def test_a_choice_is_described_by_its_values() -> None:
    """This is true for literals and enums. With suggestions, other strings are accepted too."""
    assert read(Literal["a", 1]).schema == {"enum": ["a", 1]}
    assert read(Colour).schema == {"enum": ["red", "blue"]}
    assert read(Literal["a"] | str).schema == {"anyOf": [{"enum": ["a"]}, {"type": "string"}]}


def test_an_object_is_described_with_its_fields() -> None:
    """The schema has the required fields, the other fields, and the documentation."""
    schema = read(Stay).schema
    assert schema["required"] == ["guests"]
    assert schema["properties"]["room"] == {"type": "string", "description": "Which one."}
    assert list(schema["properties"]["guests"]["items"]["properties"]) == ["name", "age", "nick"]
    assert schema["description"] == "A class with fields of other classes."
    assert schema["properties"]["guests"]["items"]["description"].startswith("A class with a required field")
    assert read(Booking).schema["required"] == ["nights", "guest"]
    assert read(Whole).schema["required"] == ["name"]


BOUNDS: list[tuple[Any, Any]] = [
    (Annotated[int, ge(1), lt(5)], {"type": "integer", "minimum": 1, "exclusiveMaximum": 5}),
    (Annotated[float, and_(gt(0), le(2))], {"type": "number", "exclusiveMinimum": 0, "maximum": 2}),
    (Annotated[str, min_len(1), max_len(3)], {"type": "string", "minLength": 1, "maxLength": 3}),
    (Annotated[list[int], min_len(1)], {"type": "array", "items": {"type": "integer"}, "minItems": 1}),
    (
        Annotated[dict[str, int], max_len(2)],
        {"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 2},
    ),
    (Annotated[str, matches_re("a|b")], {"type": "string", "pattern": "^(?:a|b)$"}),
    (Annotated[str, in_(["a", "b"])], {"type": "string", "enum": ["a", "b"]}),
    (Annotated[Annotated[int, ge(5)], ge(1)], {"type": "integer", "minimum": 5, "allOf": [{"minimum": 1}]}),
]


@pytest.mark.parametrize(("annotation", "schema"), BOUNDS)
def test_constraints_are_described(annotation: Any, schema: Any) -> None:
    """They use the keywords of JSON Schema. If two have the same keyword, both apply."""
    assert read(annotation).schema == schema


def test_a_validator_of_ones_own_may_bring_its_schema() -> None:
    """It is an attribute."""

    class Even:
        json_schema: ClassVar = {"multipleOf": 2}

        def __call__(self, instance: object, attribute: object, value: int) -> None:
            if value % 2:
                raise ValueError("must be even")

    shape = narrow(read(int), [Even()])
    assert shape.schema == {"type": "integer", "multipleOf": 2}
    assert [each.message for each in check(shape, 3)[1]] == ["must be even"]


# ---- constraints ---------------------------------------------------------------------------------------------------


def test_a_constraint_is_told_in_its_own_words() -> None:
    """Each broken constraint is reported, if the type is right."""
    assert problems_of(Annotated[int, ge(-1), le(0)], 3) == [("$", "must be <= 0, got 3")]
    assert problems_of(Annotated[int, ge(1)], "a") == [("$", "expected a whole number, got the string 'a'")]


def test_a_validator_that_fails_in_itself_accepts_nothing() -> None:
    """If a grant's validator cannot judge a value, the value must be refused."""

    def broken(instance: object, attribute: object, value: object) -> None:
        """Raise for each value."""
        raise KeyError("words of an exception")

    assert problems_of(Annotated[int, broken], 3) == [("$", "is not acceptable")]
    assert [each.message for each in violations(read(int), broken, 3)] == ["is not acceptable"]


def test_a_class_that_cannot_be_made_is_a_problem_of_the_value() -> None:
    """The text of the exception is left out, unless it is a ValueError, which is meant for the sender."""
    assert problems_of(Fragile, {"name": "a"}) == [("$", "is not acceptable as Fragile")]
    assert problems_of(Range, {"low": 3, "high": 2}) == [("$", "is not acceptable: high is below low")]
    assert problems_of(Compared, {"low": None}) == [("$", "is not acceptable as Compared")]
    assert problems_of(Wordless, {"name": "a"}) == [("$", "is not acceptable: the reason has no text")]


# ---- problems ------------------------------------------------------------------------------------------------------


def test_everything_wrong_is_told_at_once_with_its_path() -> None:
    """This includes nested values. The nearest name is suggested."""
    sent = {"guests": [{"name": 1}, {"nam": "Ada"}], "room": None, "colour": "rad"}
    shape = read(Stay)
    problems = {each.path: each for each in check(shape, sent)[1]}
    assert set(problems) == {"$.guests[0].name", "$.guests[1].nam", "$.guests[1].name", "$.room", "$.colour"}
    assert problems["$.guests[1].nam"].suggestion == "name"
    assert problems["$.colour"].suggestion == "red"


def test_a_union_tells_what_its_nearest_member_says() -> None:
    """If a member fits on the outside, its inner problems are reported. Otherwise, all members are named."""
    assert problems_of(int | Guest, {"name": 1}) == [("$.name", "expected a string, got the number 1")]
    assert problems_of(int | list[str] | None, "a") == [
        ("$", "expected a whole number or an array or null, got the string 'a'"),
    ]


def test_a_float_that_is_too_large_for_a_whole_number_says_how_to_write_it() -> None:
    """Its digits may not be exact."""
    expected = "expected a whole number of 64 bits, written without fraction and exponent, got the number 1e+20"
    assert problems_of(int, 1e20) == [("$", expected)]


def test_a_huge_value_does_not_come_back_whole() -> None:
    """An error is shorter than the value."""
    ((_, message),) = problems_of(int, "a" * 10_000)
    assert len(message) < 200


# ---- what has no RTVI type -----------------------------------------------------------------------------------------


class Missing(TypedDict):
    """A class that names a type which does not exist."""

    what: str


Missing.__annotations__["what"] = ForwardRef("Nothing")


class Raw(TypedDict):
    """A class with bytes."""

    data: bytes


#: Leaves out the type of a field.
Untyped: Any = make_class("Untyped", ["size"])


@define(init=False)
class Remade:
    """A class whose `__init__` has other parameters than its fields."""

    size: int

    def __init__(self, text: str) -> None:
        self.size = len(text)


class Mistyped(TypedDict):
    """A class with an annotation that raises."""

    size: int


Mistyped.__annotations__["size"] = ForwardRef("1 / 0")


T = TypeVar("T")

Pair = TypeAliasType("Pair", list[T], type_params=(T,))


@define
class Box(Generic[T]):
    """A class with a field of any type."""

    content: T


UNREADABLE: list[tuple[Any, str]] = [
    (bytes, "Use str, bool, int"),
    (set[str], "Use str, bool, int"),
    (dict[int, str], "Use dict[str, …]"),
    (Literal[b"a"], "has the choice b'a', which is not a string, whole number or bool"),
    (Untyped, "is Untyped, whose 'size' has no type. Annotate it, as in size: str"),
    (Remade, "is Remade, whose own __init__ does not accept size"),
    (Mistyped, "is Mistyped, which has an annotation that is not a type: division by zero"),
    (Nobody, "has no choices"),
    (Callable[[], int], "has no RTVI type"),
    ([int], "is [<class 'int'>], which has no RTVI type"),
    (dict[str], "is an object that does not say the type of its values. Use dict[str, …]"),  # type: ignore[misc]
    (list[int, str], "is an array with 2 types of items"),  # type: ignore[misc]
    (tuple[int, str, ...], "is an array with 3 types of items"),  # type: ignore[misc]
    (tuple[()], "is an array without items. Name the type of its items, as in tuple[int, ...]"),
    (T, "is T, a type variable, which has no RTVI type"),
    (Box[int], "is Box[…], a generic type, which has no RTVI type"),
    (Pair[int], "is Pair[…], a generic type, which has no RTVI type"),
    (Circle, "contains itself. Use dict[str, Any]"),
    (Missing, "'Nothing' cannot be resolved. Import it"),
    (Raw, "is Raw, whose 'data' is bytes"),
    (list[Raw], "is Raw, whose 'data' is bytes"),
]


@pytest.mark.parametrize(("annotation", "message"), UNREADABLE)
def test_a_type_that_json_has_not_is_refused(annotation: Any, message: str) -> None:
    """The error says what to write instead."""
    with pytest.raises(UnsupportedType) as raised:
        read(annotation)
    assert message in str(raised.value)


def test_a_literal_of_an_enums_members_is_refused() -> None:
    """Its values would not be plain values of Python."""

    class Size(StrEnum):
        BIG = "big"

    with pytest.raises(UnsupportedType):
        read(Literal[Size.BIG])


# ---- the schema says what the shape does ---------------------------------------------------------------------------

#: Without large whole numbers as floats, which JSON Schema takes for integers: their digits are not exact.
numbers = (
    st.integers()
    | st.sampled_from([0.0, 1.0, -2.0])
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: number % 1 != 0 or abs(number) < 2**53)
)
words = st.sampled_from(["a", "b", "red", "name", "age", "nights", "guest", "note"])
anything = st.recursive(
    st.none() | st.booleans() | numbers | words | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)

texts: st.SearchStrategy[Any] = st.sampled_from(["a", "ab", "abc", ""])
guests: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {"name": texts}, optional={"age": st.integers(0), "nick": st.none() | texts}
)

#: Types, each with values of it.
Typed = tuple[Any, st.SearchStrategy[Any]]
SIMPLE: list[Typed] = [
    (str, texts),
    (bool, st.booleans()),
    (int, st.integers()),
    (float, numbers),
    (Literal["a", 1, True], st.sampled_from(["a", 1, True])),
    (Literal["a"] | str, texts),
    (Colour, st.sampled_from(["red", "blue"])),
    (Annotated[int, ge(0), lt(10)], st.integers(0, 9)),
    (Annotated[str, min_len(1), max_len(2)], st.sampled_from(["a", "ab"])),
    (Annotated[str, matches_re("[ab]+")], st.sampled_from(["a", "ab"])),
    (Annotated[list[int], min_len(1)], st.lists(st.integers(), min_size=1, max_size=2)),
    (Guest, guests),
    (Booking, st.fixed_dictionaries({"nights": st.integers(), "guest": guests}, optional={"note": texts})),
    (tuple[int, str], st.tuples(st.integers(), texts).map(list)),
    (dict[str, Any], st.dictionaries(words, anything, max_size=2)),
    (list[Any], st.lists(anything, max_size=2)),
]


def _nested(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    lists: Any = list
    tuples: Any = tuple
    dicts: Any = dict
    return st.one_of(
        inner.map(lambda each: (lists[each[0]], st.lists(each[1], max_size=3))),
        inner.map(lambda each: (tuples[each[0], ...], st.lists(each[1], max_size=3))),
        inner.map(lambda each: (dicts[str, each[0]], st.dictionaries(words, each[1], max_size=3))),
        inner.map(lambda each: (each[0] | None, each[1] | st.none())),
        st.tuples(inner, inner).map(lambda both: (both[0][0] | both[1][0], both[0][1] | both[1][1])),
    )


types = st.recursive(st.sampled_from(SIMPLE), _nested, max_leaves=4)


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(typed=types, data=st.data())
def test_shape_and_schema_agree(typed: Typed, data: st.DataObject) -> None:
    """For all types and values, the check and the schema agree. Values of a type are accepted."""
    annotation, values = typed
    schema = read(annotation).schema
    Draft202012Validator.check_schema(schema)
    validator: Any = Draft202012Validator(schema)
    fitting, other = data.draw(values), data.draw(anything)
    assert accepts(annotation, fitting)
    assert validator.is_valid(fitting)
    assert accepts(annotation, other) == validator.is_valid(other)


@settings(deadline=None, max_examples=100)
@given(typed=types)
def test_a_schema_is_json(typed: Typed) -> None:
    """It is sent unchanged."""
    schema = read(typed[0]).schema
    assert json.loads(json.dumps(schema)) == schema


# ---- unions --------------------------------------------------------------------------------------------------------


@frozen
class Card:
    """A means of payment, with a tag."""

    number: int
    holder: Guest
    type: Literal["card"] = "card"


@frozen
class Voucher:
    """Another means of payment."""

    code: str
    type: Literal["voucher"] = "voucher"


NATURAL: Any = Annotated[int, ge(0)]

UNIONS: list[tuple[Any, Any, list[tuple[str, str]]]] = [
    (
        Card | None,
        {"number": "x", "holder": {"name": "Ada", "age": -1}, "colour": 1},
        [
            ("$.number", "expected a whole number, got the string 'x'"),
            ("$.holder.age", "must be >= 0, got -1"),
            ("$.colour", "unknown field 'colour'; known: number, holder, type."),
        ],
    ),
    (Card | None, {"number": 1}, [("$.holder", "is required")]),
    (Card | None, "x", [("$", "expected an object or null, got the string 'x'")]),
    (
        Card | Voucher,
        {"type": "voucher", "number": 1, "holder": {"name": 1}},
        [
            ("$.number", "unknown field 'number'; known: code, type."),
            ("$.holder", "unknown field 'holder'; did you mean 'code'?"),
            ("$.code", "is required"),
        ],
    ),
    (NATURAL | None, -1, [("$", "must be >= 0, got -1")]),
    (NATURAL | str | None, True, [
        ("$", "expected a whole number that must be >= 0 or a string or null, got true"),
    ]),
    (Annotated[str, http_url] | bool, 1, [
        ("$", "expected a string that must be an http or https URL or true or false, got the number 1"),
    ]),
    (Literal["a"] | Literal["b"] | None, "c", [("$", "expected one of 'a' or one of 'b', got the string 'c'")]),
    (Annotated[str, max_len(1)] | Annotated[str, matches_re("x+")], "yy", [
        ("$", "expected a string that must have at most 1 character or a string that must match the pattern 'x+', got the string 'yy'"),  # noqa: E501
    ]),
    (list[Card] | None, [{"number": 1, "holder": 3}], [("$[0].holder", "expected an object, got the number 3")]),
    (dict[str, int] | None, {"a b": "x"}, [('$["a b"]', "expected a whole number, got the string 'x'")]),
    (Range | None, {"low": 3, "high": 2}, [("$", "is not acceptable: high is below low")]),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "value", "problems"), UNIONS)
def test_a_union_reports_every_problem_of_the_member_that_was_meant(
    annotation: Any, value: Any, problems: list[tuple[str, str]]
) -> None:
    """Of the member with the value's JSON type, and of two such the nearest; with inner paths."""
    assert problems_of(annotation, value) == problems


def test_none_alone_is_described_as_null() -> None:
    """It is not described as an object."""
    assert (read(None).rtvi_type, read(None).schema) == ("null", {"type": "null"})


def test_the_length_of_an_array_is_named() -> None:
    """It is what differs."""
    assert problems_of(tuple[int, str], [1]) == [("$", "expected an array of 2, got an array of 1")]
    assert problems_of(tuple[int, str], {}) == [("$", "expected an array of 2, got an object")]
