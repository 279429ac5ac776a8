from typing import Any

import pytest
from rtvi_plugins.client import Client
from rtvi_plugins.testing import connect

import bot

pytestmark = pytest.mark.anyio


async def say(client: Client, text: str) -> list[tuple[str, Any]]:
    """Send a text, and return the events until the bot answers."""
    await client.send_text(text)
    events: list[tuple[str, Any]] = []
    async for event in client.events():
        events.append((event.type, event.data))
        if event.type == "bot-transcription":
            break
    return events


async def test_the_llm_books_a_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bot runs the action. The client receives an event."""
    monkeypatch.setattr(bot, "free_rooms", [7])
    async with connect(bot.receptionist) as client:
        events = await say(client, "Please book a room for two nights in the name of Ada.")
        (ended,) = [data for type, data in events if type == "llm-function-call-stopped"]
        assert ended["result"] == {"room": 7, "euros": 160}
        assert "llm-function-call-in-progress" not in [type for type, _ in events]


async def test_the_llm_reads_a_refusal() -> None:
    """Its grant allows three nights. A client may book fourteen."""
    async with connect(bot.receptionist) as client:
        assert await client.action("bot:book_room", nights=14, name="Ada")
        await say(client, "Please book a room for nine nights in the name of Ada.")
        context = await client.action("llm:get_context")
        (result,) = [each["content"] for each in context["messages"] if each["role"] == "tool"]
        assert "must be <= 3" in result


async def test_the_llm_reads_a_request_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The LLM reads the text of a RequestError."""
    monkeypatch.setattr(bot, "free_rooms", [])
    async with connect(bot.receptionist) as client:
        await say(client, "Please book a room for two nights in the name of Ada.")
        context = await client.action("llm:get_context")
        (result,) = [each["content"] for each in context["messages"] if each["role"] == "tool"]
        assert result == '{"error": "All twelve rooms are taken."}'
