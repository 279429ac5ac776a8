"""When the user has finished: pauses, and the policy `end_of_turn`."""

from __future__ import annotations

import logging
import math
from typing import Any, cast

import anyio
import pytest

from rtvi_plugins.errors import AuthorError
from rtvi_plugins.kinds import (
    Text,
)
from rtvi_plugins.voice import EndOfTurn, TurnTaking, UserTurn

from ..fakes.conversation import failures, later, said, silence, speak
from ..fakes.providers import Fakes

pytestmark = pytest.mark.anyio


async def test_a_pause_within_a_sentence_ends_no_turn() -> None:
    """A silence that is shorter than `stop_secs` is part of the speech."""
    fakes = Fakes([Text("Fine.")])
    async with fakes.session() as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 0.3)
        await speak(wire, 4, 0.5)
        await silence(wire, 2.0)
        assert await said(wire) == [("user", "hello there and then"), ("assistant", "Fine.")]
        assert fakes.begun["stt"] == 1


@pytest.mark.parametrize("seconds", [None, math.nan, math.inf, "soon"])
async def test_a_policy_that_returns_no_time_is_reported_and_the_user_answered(
    seconds: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the mistake, and the user gets an answer."""

    async def end_of_turn(turn: UserTurn) -> float:
        return seconds  # type: ignore[no-any-return]

    fakes = Fakes([Text("Fine.")], taking=TurnTaking(end_of_turn=end_of_turn))
    async with fakes.session() as wire:
        with caplog.at_level(logging.ERROR, "rtvi_plugins"):
            await speak(wire, 1, 0.5)
            await silence(wire, 2.0)
        assert await said(wire) == [("user", "hello there"), ("assistant", "Fine.")]
        assert failures(wire) == []
        assert any("end_of_turn" in each for each in caplog.messages)


async def test_a_policy_that_decides_about_less_than_was_said_decides_nothing() -> None:
    """The user has continued while the policy was running."""

    async def end_of_turn(turn: UserTurn) -> float:
        if turn.text == "hello there":
            await fakes.gate.wait()
            return 0.0
        return 2.0

    fakes = Fakes([Text("Fine.")], taking=TurnTaking(end_of_turn=end_of_turn))
    async with fakes.session() as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 1.0)
        await speak(wire, 2, 0.5)
        await silence(wire, 0.7)
        fakes.gate.set()
        await silence(wire, 1.0)
        assert await said(wire) == []
        await silence(wire, 2.0)
        assert (await said(wire))[0] == ("user", "hello there what time is it")


async def test_a_policy_without_async_is_reported_to_its_author(caplog: pytest.LogCaptureFixture) -> None:
    """The user gets an answer too."""

    def end_of_turn(turn: UserTurn) -> float:
        return 0.3

    fakes = Fakes([Text("Fine.")], taking=TurnTaking(end_of_turn=cast("EndOfTurn", end_of_turn)))
    async with fakes.session() as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 2.0)
        assert await said(wire) == [("user", "hello there"), ("assistant", "Fine.")]
    assert [each for each in caplog.messages if "end_of_turn returned float at once. Write async def." in each]


async def test_a_policy_that_hangs_is_given_up_and_the_user_answered(caplog: pytest.LogCaptureFixture) -> None:
    """Providers that hang have a time limit too."""

    async def end_of_turn(turn: UserTurn) -> float:
        await anyio.sleep_forever()
        return 0.0

    fakes = Fakes([Text("Fine.")], taking=TurnTaking(end_of_turn=end_of_turn))
    async with fakes.session() as wire:
        with caplog.at_level(logging.ERROR, "rtvi_plugins"):
            await speak(wire, 1, 0.5)
            await later(wire, 20.0)
        assert (await said(wire))[0] == ("user", "hello there")
        assert failures(wire) == []
        assert any("end_of_turn" in each for each in caplog.messages)


@pytest.mark.parametrize(
    ("how", "instead"),
    [
        ({"idle_seconds": -1}, "a finite number of seconds, more than 0"),
        ({"idle_seconds": 0}, "a finite number of seconds, more than 0"),
        ({"interrupt_seconds": "x"}, "a finite number of seconds, 0 or more"),
        ({"longest_turn_seconds": float("nan")}, "a finite number of seconds, more than 0"),
        ({"longest_turn_seconds": True}, "a finite number of seconds, more than 0"),
        ({"end_of_turn": 3}, "a coroutine function that takes a UserTurn and returns seconds"),
        ({"interruptible": "no"}, "True or False"),
        ({"idle_text": None}, "a text, or a function that returns one"),
    ],
)
def test_invalid_turn_taking_is_rejected_where_it_is_written(how: dict[str, Any], instead: str) -> None:
    """The error says what to write instead."""
    [(name, value)] = how.items()
    with pytest.raises(AuthorError) as raised:
        TurnTaking(**how)
    assert str(raised.value) == f"TurnTaking({name}={value!r}): give {instead}."
