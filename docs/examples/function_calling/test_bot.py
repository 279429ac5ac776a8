from typing import Any

import pytest
from rtvi_plugins.client import Client
from rtvi_plugins.testing import connect

import bot

pytestmark = pytest.mark.anyio


async def say(client: Client, text: str) -> list[tuple[str, Any]]:
    """What the client is told until the bot has answered."""
    await client.send_text(text)
    told: list[tuple[str, Any]] = []
    async for event in client.events():
        told.append((event.type, event.data))
        if event.type == "bot-transcription":
            break
    return told


async def test_the_llm_books_a_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bot carries it out itself; the client is told that it did."""
    monkeypatch.setattr(bot, "free_rooms", [7])
    async with connect(bot.receptionist) as client:
        told = await say(client, "Please book a room for two nights in the name of Ada.")
        (ended,) = [data for type, data in told if type == "llm-function-call-stopped"]
        assert ended["result"] == {"room": 7, "euros": 160}
        assert "llm-function-call-in-progress" not in [type for type, _ in told]


async def test_what_the_llm_may_not_do_is_told_to_it() -> None:
    """It is held to its own grant: three nights, where a client may book fourteen."""
    async with connect(bot.receptionist) as client:
        assert await client.action("bot:book_room", nights=14, name="Ada")
        await say(client, "Please book a room for nine nights in the name of Ada.")
        context = await client.action("llm:get_context")
        (result,) = [each["content"] for each in context["messages"] if each["role"] == "tool"]
        assert "must be <= 3" in result


async def test_a_refusal_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an action says with a RequestError, the LLM is told, and goes on from there."""
    monkeypatch.setattr(bot, "free_rooms", [])
    async with connect(bot.receptionist) as client:
        await say(client, "Please book a room for two nights in the name of Ada.")
        context = await client.action("llm:get_context")
        (result,) = [each["content"] for each in context["messages"] if each["role"] == "tool"]
        assert result == '{"error": "All twelve rooms are taken."}'
