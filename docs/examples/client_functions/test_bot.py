from collections.abc import Mapping
from typing import Any

import pytest
from rtvi_plugins.client import Client
from rtvi_plugins.testing import connect

from bot import guide

pytestmark = pytest.mark.anyio


async def show_map(arguments: Mapping[str, Any]) -> str:
    """Describe the map in words."""
    return f"a map of {arguments['place']}"


async def test_the_client_shows_a_map() -> None:
    """The LLM calls the function, the client runs it, and the LLM reads the result."""
    async with connect(guide) as client:
        client.register_function("show_map", show_map)
        await client.send_text("Please show the map for Paris.")
        assert "Paris" in await answer(client)


async def test_the_bot_calls_a_client_function() -> None:
    """The bot's own code can call it without the LLM."""
    async with connect(guide) as client:
        client.register_function("show_map", show_map)
        assert await client.action("bot:show_rome") == "a map of Rome"


async def answer(client: Client) -> str:
    """Return the first sentence of the bot."""
    async for event in client.events():
        if event.type == "bot-transcription":
            return str(event.data["text"])
    raise AssertionError("the session ended")
