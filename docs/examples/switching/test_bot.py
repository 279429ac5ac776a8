"""A client chooses a provider at the start, or switches during the conversation."""

from __future__ import annotations

import pytest
from rtvi_plugins import RequestError
from rtvi_plugins.client import Client
from rtvi_plugins.testing import connect

from bot import desk

pytestmark = pytest.mark.anyio


async def answer_to(client: Client, text: str) -> str:
    """Return the first sentence of the answer."""
    await client.send_text(text)
    async for event in client.events():
        if event.type == "bot-transcription":
            return str(event.data["text"])
    raise AssertionError("the session ended")


async def test_the_first_provider_is_the_default() -> None:
    """A start request without a choice uses it."""
    async with connect(desk) as client:
        assert "rule-based" in await answer_to(client, "Who are you?")


async def test_a_start_chooses_a_provider() -> None:
    """The provider is open when the start request is answered."""
    async with connect(desk, services={"llm": "echo"}, config={"llm": {"ending": "!"}}) as client:
        assert await answer_to(client, "Who are you") == "Who are you!"


async def test_other_providers_are_refused() -> None:
    """The code is `unknown-provider`."""
    with pytest.raises(RequestError) as refused:
        async with connect(desk, services={"llm": "openai"}):
            pass
    assert refused.value.code == "unknown-provider"


async def test_a_client_switches_during_the_conversation() -> None:
    """The client sets the option `provider`, and the conversation continues."""
    async with connect(desk) as client:
        await answer_to(client, "My name is Ada.")
        await client.update_config({"llm": {"provider": "echo", "ending": "!"}})
        assert await answer_to(client, "Who are you") == "Who are you!"
        await client.update_config({"llm": {"provider": "rules"}})
        assert "Ada" in await answer_to(client, "What is my name?")


async def test_a_bot_switches_by_itself() -> None:
    """`session.switch` needs no grant."""
    async with connect(desk) as client:
        assert await client.action("bot:speak_plainly") == "echo"
        assert await answer_to(client, "Who are you") == "Who are you?"
