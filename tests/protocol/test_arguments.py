"""Arguments as they are sent are bound to those that an action declares, or every problem is reported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import pytest
from attrs.validators import ge, in_, max_len
from hypothesis import given, settings
from hypothesis import strategies as st

from rtvi_plugins import Was
from rtvi_plugins.declare.signature import read_signature
from rtvi_plugins.errors import InvalidArguments, NotGranted, Problem
from rtvi_plugins.protocol.arguments import Binder, NamedValue, named_values


def speak(
    text: Annotated[str, Was("sentence")], times: Annotated[int, ge(1)] = 1, moods: list[str] | None = None
) -> None:
    """What the arguments are bound to."""


PARAMETERS = read_signature(speak, given="", example="").sent
BINDER = Binder(PARAMETERS, {})
PATH = "$.data.arguments"


def listed(**values: Any) -> list[dict[str, Any]]:
    """Arguments as clients before 1.0 send them."""
    return [{"name": name, "value": value} for name, value in values.items()]


def problems(sent: Any, binder: Binder = BINDER) -> list[tuple[str, str]]:
    """The path and the text of each problem."""
    with pytest.raises((InvalidArguments, NotGranted)) as raised:
        binder.bind(sent, PATH)
    return [(each.path, each.message) for each in raised.value.problems]


@pytest.mark.parametrize(
    "sent",
    [
        listed(text="a", times=2),
        {"text": "a", "times": 2},
        {"sentence": "a", "times": 2},
        listed(times=2, sentence="a"),
        [{"name": "text", "value": "a", "more": 1}, {"name": "times", "value": 2}],
    ],
)
def test_arguments_are_bound_by_name(sent: Any) -> None:
    """They may have either form, any order, and present or former names. An argument that was not sent is left out."""
    assert BINDER.bind(sent, PATH) == {"text": "a", "times": 2}


def test_no_arguments_are_none() -> None:
    """LLMHelper sends none if an action takes none."""
    assert Binder({}, {}).bind(None, PATH) == Binder({}, {}).bind([], PATH) == {}


def test_all_problems_are_reported_at_once() -> None:
    """Each problem has its path, the argument's name, and the nearest known name."""
    assert problems(listed(times=0, moods=["a", 1], tex="a")) == [
        ("$.data.arguments[0].value", "times: must be >= 1, got 0"),
        ("$.data.arguments[1].value[1]", "moods: expected a string, got the number 1"),
        ("$.data.arguments[2].name", "unknown argument 'tex'; did you mean 'text'?"),
        ("$.data.arguments", "text: is required (string)"),
    ]


def test_an_argument_is_sent_once() -> None:
    """Its former name counts as its name."""
    assert problems(listed(text="a", sentence="b")) == [
        ("$.data.arguments[1].name", "text: was sent already; send each argument once."),
    ]
    assert problems([*listed(text="a"), *listed(text="a")]) == problems(listed(text="a", sentence="b"))


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        ("text", "$.data.arguments"),
        (3, "$.data.arguments"),
        (["text"], "$.data.arguments[0]"),
        ([None], "$.data.arguments[0]"),
        ([{"value": 1}], "$.data.arguments[0]"),
        ([{"name": ["a"], "value": 1}], "$.data.arguments[0].name"),
        ([{"name": "text"}], "$.data.arguments[0]"),
    ],
)
def test_a_malformed_argument_is_reported_at_its_path(sent: Any, path: str) -> None:
    """It may be any other value."""
    assert problems(sent)[0][0] == path


def test_a_narrowed_argument_is_right_and_not_granted() -> None:
    """A wrong type is reported first. An argument that was not sent is not checked against the grant."""
    binder = Binder(PARAMETERS, {"text": max_len(3), "times": in_([1])})
    assert binder.bind(listed(text="abc"), PATH) == {"text": "abc"}
    found = problems(listed(text="abcd", times=2), binder)
    assert [path for path, _ in found] == [f"{PATH}[0].value", f"{PATH}[1].value"]
    assert [path for path, _ in problems({"times": 2, "text": "abcd"}, binder)] == [f"{PATH}.text", f"{PATH}.times"]
    assert all("the bot does not grant this value" in message for _, message in found)
    with pytest.raises(InvalidArguments):
        binder.bind(listed(text=3, times=2), PATH)


def test_a_narrowing_that_fails_in_itself_grants_nothing() -> None:
    """If a validator of a grant raises another exception than ValueError, the value is not granted."""

    def broken(instance: object, attribute: object, value: Any) -> None:
        """Raise for each value."""
        raise AttributeError("words of an exception")

    assert problems(listed(text="a"), Binder(PARAMETERS, {"text": broken})) == [
        (f"{PATH}[0].value", "text: the bot does not grant this value: is not acceptable"),
    ]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 3) | st.floats(0, 3) | st.sampled_from(["a", "text", "times"]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
names = st.sampled_from(["text", "sentence", "times", "moods", "other", ""])
entries = st.fixed_dictionaries({"name": names | values}, optional={"value": values}) | values
anything = st.lists(entries, max_size=4) | st.dictionaries(names, values, max_size=4) | values


@settings(deadline=None, max_examples=300)
@given(sent=anything)
def test_whatever_is_sent_is_bound_or_refused(sent: Any) -> None:
    """Nothing else is raised. The path of every problem is inside of the arguments. Bound arguments are declared."""
    bound, found = outcome(sent)
    assert (bound is None) == bool(found)
    assert all(each.path.startswith(PATH) for each in found)
    assert bound is None or {"text"} <= bound.keys() <= PARAMETERS.keys()


@settings(deadline=None, max_examples=200)
@given(sent=st.dictionaries(names, values, max_size=4))
def test_both_forms_mean_the_same(sent: dict[str, Any]) -> None:
    """The forms are a list of names and values, and an object of values by name."""
    (bound, found), (other, others) = outcome(listed_of(sent)), outcome(sent)
    assert bound == other
    assert [each.message for each in found] == [each.message for each in others]


def listed_of(sent: dict[str, Any]) -> list[dict[str, Any]]:
    """The same arguments as a list."""
    return [{"name": name, "value": value} for name, value in sent.items()]


def outcome(sent: Any) -> tuple[dict[str, Any] | None, Sequence[Problem]]:
    """The bound arguments, or the problems."""
    try:
        return BINDER.bind(sent, PATH), ()
    except InvalidArguments as error:
        return None, error.problems


def test_named_values_have_their_paths() -> None:
    """A name that is not a string, or a name without a value, is a problem and nothing else."""
    found: list[Problem] = []
    sent = [{"name": "a", "value": None}, {"name": "b"}, {"name": 1, "value": 2}]
    assert list(named_values(sent, "$", found)) == [NamedValue("a", None, "$[0].value", "$[0].name")]
    assert [each.path for each in found] == ["$[1]", "$[2].name"]
    assert list(named_values({"a": 1}, "$", found)) == [NamedValue("a", 1, "$.a", "$.a")]
    assert [each.path for each in named_values({"a b": 1}, "$", found)] == ['$["a b"]']
