"""A client cannot make a conversation grow without bound."""

from __future__ import annotations

import pytest

from rtvi_plugins import LLM, Session, bot, converse
from rtvi_plugins.hosting import Limits
from rtvi_plugins.kinds import Text

from ..fakes.providers import Fakes
from ..fakes.wire import Wire, connected, settle

pytestmark = pytest.mark.anyio

LIMITS = Limits(context_size=1_000)
ASKED = [{"role": "user", "content": "x" * 400}]


@bot(
    services={"llm": "scripted"},
    client=["llm:append_to_messages", "llm:set_context", "llm:get_context"],
    public=True,
)
async def clerk(session: Session, /, llm: LLM) -> None:
    """A bot for typed texts."""
    await converse(session, llm=llm)


async def fill(wire: Wire) -> None:
    """Append messages until the context is full."""
    for _ in range(2):
        assert await wire.result(wire.call("llm:append_to_messages", messages=ASKED)) is True


async def test_a_full_context_takes_no_more_messages() -> None:
    """The error has a code, and says what to do."""
    fakes = Fakes()
    async with connected(clerk, fakes, limits=LIMITS) as wire:
        await fill(wire)
        error = await wire.error(wire.call("llm:append_to_messages", messages=ASKED))
        assert (error["code"], "llm:set_context" in error["error"]) == ("context-full", True)
        assert len((await wire.result(wire.call("llm:get_context")))["messages"]) == 2


async def test_a_full_context_takes_no_more_texts() -> None:
    """The refusal has the id of the user's text. Nothing is interrupted or answered."""
    fakes = Fakes([Text("Never.")])
    async with connected(clerk, fakes, limits=LIMITS) as wire:
        await fill(wire)
        assert (await wire.error(wire.send("send-text", {"content": "Hello", "options": {}})))["code"] == "context-full"
        assert fakes.requests == []


async def test_a_message_that_fills_the_context_is_answered() -> None:
    """It was accepted, so `run_immediately` has its effect: the bot answers."""
    fakes = Fakes([Text("Hello.")])
    async with connected(clerk, fakes, limits=LIMITS) as wire:
        messages = [{"role": "user", "content": "x" * 1_000}]
        assert await wire.result(wire.call("llm:append_to_messages", messages=messages, run_immediately=True)) is True
        await settle()
        assert wire.data_of("bot-llm-text") == [{"text": "Hello."}]


async def test_a_context_that_was_replaced_has_space_again() -> None:
    """The error says so."""
    fakes = Fakes([Text("Hello.")])
    async with connected(clerk, fakes, limits=LIMITS) as wire:
        await fill(wire)
        assert await wire.result(wire.call("llm:set_context", messages=[])) is True
        wire.send("send-text", {"content": "Hello", "options": {}})
        await settle()
        assert wire.data_of("bot-llm-text") == [{"text": "Hello."}]


async def test_the_bot_may_always_add() -> None:
    """An answer that has begun is remembered, however long it is."""
    fakes = Fakes([Text("y" * 2_000)])
    async with connected(clerk, fakes, limits=LIMITS) as wire:
        wire.send("send-text", {"content": "Hello", "options": {}})
        await settle()
        assert [len(str(each["content"])) for each in wire.connection.session.context.messages] == [5, 2_000]
        assert not wire.connection.closed
