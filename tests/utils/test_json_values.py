"""JSON values: how deep they nest, and how often they repeat the same objects."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import pytest
from attrs import frozen

from rtvi_plugins import Session, action, bot
from rtvi_plugins.declare.to_json import RepeatedTooOften, to_checked_json, to_json
from rtvi_plugins.errors import DeclarationError
from rtvi_plugins.utils.json_values import TOO_OFTEN, is_nested_deeper, json_problem

from ..fakes.wire import connected


def test_a_value_that_contains_itself_twice_is_found_deep_at_once() -> None:
    """Each level is read once. If each level doubled the work, this would not end."""
    value: list[object] = []
    value += [value, value]
    assert is_nested_deeper(value, 100)


def test_an_object_that_is_shared_is_looked_at_once() -> None:
    """A pair of a pair of a pair has many references, but one object for each level."""
    value: list[object] = []
    for _ in range(60):
        value = [value, value]
    assert is_nested_deeper(value, 59)
    assert not is_nested_deeper(value, 61)


# ---- values that repeat their objects ------------------------------------------------------------------------------


def pairs(levels: int, pair: Callable[[object], object] = lambda each: [each, each]) -> object:
    """A pair of a pair of a pair: each level has one object, and twice as many places as the one before."""
    value: object = None
    for _ in range(levels):
        value = pair(value)
    return value


@frozen
class Pair:
    """Two objects."""

    left: Any
    right: Any


class Counted(dict[str, object]):
    """An object that counts how often its values are read."""

    reads = 0

    def values(self) -> Any:
        Counted.reads += 1
        return super().values()

    def items(self) -> Any:
        Counted.reads += 1
        return super().items()


PAIRS: dict[str, Callable[[object], object]] = {
    "list": lambda each: [each, each],
    "tuple": lambda each: (each, each),
    "dict": lambda each: Counted(a=each, b=each),
    "attrs": lambda each: Pair(each, each),
}


def test_each_object_of_a_value_that_repeats_them_is_looked_at_once() -> None:
    """There are forty levels, and a million million places."""
    Counted.reads = 0
    value = pairs(40, PAIRS["dict"])
    assert json_problem(value) == ("$", TOO_OFTEN)
    with pytest.raises(TypeError, match=r"JSON cannot carry this: \$: it holds the same arrays or objects so often"):
        to_checked_json(value)
    assert Counted.reads == 2 * 40


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_a_value_that_repeats_its_objects_too_often_has_no_json_form(pair: Callable[[object], object]) -> None:
    """It may be in any object. A few repetitions are written out."""
    with pytest.raises(RepeatedTooOften):
        to_json(pairs(60, pair))
    assert json.dumps(to_json(pairs(8, pair))).count("null") == 2**8


def test_many_values_that_are_not_repeated_are_fine() -> None:
    """Only repetitions are bounded. The author of a large value has made each part of it."""
    assert json_problem([[number] for number in range(200_000)]) is None
    assert json_problem([[1, 2, 3]] * 1_000) is None


@pytest.mark.anyio
async def test_a_result_that_repeats_its_objects_too_often_is_answered() -> None:
    """The author gets the reason."""
    async with connected(repeating) as wire:
        answer = await wire.error(wire.call("bot:repeat"))
        assert (answer["code"], answer["details"]) == ("invalid-result", [{"path": "$", "message": f"{TOO_OFTEN}."}])


@action("bot")
async def repeat() -> list[Any]:
    """Return few objects in very many places."""
    return cast("list[Any]", pairs(60))


@bot(public=True, client=["bot:repeat"])
async def repeating(session: Session, /) -> None:
    """A bot whose action has a result that is too large."""


def test_a_default_that_repeats_its_objects_too_often_is_rejected() -> None:
    """The error has the author's line."""

    async def take(session: Session, /, pair: tuple[Any, ...] = ()) -> None: ...

    take.__annotations__ = {"session": Session, "pair": tuple[Any, ...], "return": None}
    take.__defaults__ = (pairs(60, PAIRS["tuple"]),)
    with pytest.raises(DeclarationError, match="the default of 'pair' does not fit its type: it holds the same"):
        action("bot")(take)
