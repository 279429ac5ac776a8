"""The greeting, and what a client sends before it is ready."""

from __future__ import annotations

from typing import Any

import pytest

from rtvi_plugins import converse
from rtvi_plugins.errors import AuthorError
from rtvi_plugins.kinds import (
    Text,
)

from ..fakes.conversation import failures, said, spoken, wait
from ..fakes.providers import POLITE, Fakes

pytestmark = pytest.mark.anyio


async def test_the_bot_speaks_first() -> None:
    """The greeting is spoken and remembered."""
    fakes = Fakes(**POLITE)
    async with fakes.session() as wire:
        await wait(wire, 1.0)
        assert spoken(wire).rstrip() == "Good day."
        assert await said(wire) == [("assistant", "Good day.")]


async def test_the_greeting_comes_before_an_answer_that_the_config_asks_for() -> None:
    """The LLM then reads a conversation that contains the greeting."""
    fakes = Fakes([Text("Fine.")], greeting="Good day.")
    config = [{"service": "llm", "options": [{"name": "run_on_config", "value": True}]}]
    async with fakes.session(body={"config": config}) as wire:
        await wait(wire, 2.0)
        assert await said(wire) == [("assistant", "Good day."), ("assistant", "Fine.")]
        assert [len(each.messages) for each in fakes.requests] == [1]


async def test_a_client_that_writes_too_much_before_it_is_ready_is_greeted_all_the_same() -> None:
    """Messages above the limits are refused. The bot has not failed."""
    fakes = Fakes(greeting="Good day.")
    async with fakes.session(ready=False) as wire:
        for index in range(130):
            wire.send("send-text", {"content": f"{index}", "options": {"run_immediately": False}})
        wire.send("client-ready", {"version": "2.1.0", "about": {"library": "test"}})
        await wait(wire, 1.0)
        assert spoken(wire).rstrip() == "Good day."
        assert failures(wire) == []
        assert (await said(wire))[0] == ("assistant", "Good day.")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"vad": object()}, r"converse\(vad=…\) has no stt=, so the user is never heard"),
        ({"greeting": 12}, r"converse\(greeting=12\): give a text or a Say"),
    ],
)
async def test_a_conversation_that_cannot_be_held_is_refused_at_once(given: Any, says: str) -> None:
    """Otherwise the bot would be silent, or fail from deep inside."""
    nothing: Any = object()
    with pytest.raises(AuthorError, match=says):
        await converse(nothing, llm=nothing, **given)
