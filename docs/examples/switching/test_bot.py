"""Providers are chosen at the start and switched in the middle, and a client may do no more than it is granted."""

from __future__ import annotations

import pytest
from rtvi_plugins import RequestError
from rtvi_plugins.client import Client
from rtvi_plugins.testing import connect

from bot import desk

pytestmark = pytest.mark.anyio


async def answer_to(client: Client, text: str) -> str:
    """The first sentence of the answer."""
    await client.send_text(text)
    async for event in client.events():
        if event.type == "bot-transcription":
            return str(event.data["text"])
    raise AssertionError("the session ended")


async def test_the_first_provider_is_the_default() -> None:
    """A start that says nothing gets it."""
    async with connect(desk) as client:
        assert "rule-based" in await answer_to(client, "Who are you?")


async def test_a_start_chooses_a_provider() -> None:
    """It is open before the start is answered."""
    async with connect(desk, services={"llm": "echo"}, config={"llm": {"ending": "!"}}) as client:
        assert await answer_to(client, "Who are you") == "Who are you!"


async def test_a_start_cannot_choose_what_the_bot_does_not_name() -> None:
    """The error names what there is."""
    with pytest.raises(RequestError) as refused:
        async with connect(desk, services={"llm": "openai"}):
            pass
    assert refused.value.code == "unknown-provider"


async def test_a_client_switches_in_the_middle() -> None:
    """The option `provider` is like any other; the conversation goes on."""
    async with connect(desk) as client:
        await answer_to(client, "My name is Ada.")
        await client.update_config({"llm": {"provider": "echo", "ending": "!"}})
        assert await answer_to(client, "Who are you") == "Who are you!"
        await client.update_config({"llm": {"provider": "rules"}})
        assert "Ada" in await answer_to(client, "What is my name?")


async def test_a_bot_switches_by_itself() -> None:
    """`session.switch` needs no grant: the bot's own code is trusted."""
    async with connect(desk) as client:
        assert await client.action("bot:speak_plainly") == "echo"
        assert await answer_to(client, "Who are you") == "Who are you?"
