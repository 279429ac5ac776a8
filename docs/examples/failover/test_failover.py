"""One of two vendors fails, and the bot answers: both are servers on this machine, with OpenAI's API."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from loop import plain
from rtvi_plugins.__main__ import main
from rtvi_plugins.bot_file import load_bot_file
from rtvi_plugins.client import Client
from rtvi_plugins.testing import SessionClient, connect
from rtvi_plugins_vendor.testing import Answer, FakeVendor, fake_vendor

from bot import receptionist

pytestmark = pytest.mark.anyio

Start: TypeAlias = Callable[[Any], AbstractAsyncContextManager[SessionClient]]


def saying(text: str) -> Answer:
    """Return the answer of a model."""
    chunk = {"model": "small", "choices": [{"index": 0, "delta": {"content": text}}]}
    events = (f"data: {each}\n\n".encode() for each in (json.dumps(chunk), "[DONE]"))
    return Answer(parts=[*events], headers={"content-type": "text/event-stream"})


@pytest.fixture
async def openai(anyio_backend: str) -> AsyncGenerator[FakeVendor]:
    """A vendor that fails."""
    async with fake_vendor() as vendor:
        vendor.on("/chat/completions", Answer(503))
        yield vendor


@pytest.fixture
async def together(anyio_backend: str) -> AsyncGenerator[FakeVendor]:
    """A vendor that works."""
    async with fake_vendor() as vendor:
        vendor.on("/chat/completions", saying("Good evening."))
        yield vendor


@pytest.fixture
def start(openai: FakeVendor, together: FakeVendor) -> Start:
    """Start a session whose providers ask these vendors."""

    @asynccontextmanager
    async def start(bot: Any) -> AsyncGenerator[SessionClient]:
        urls = {"openai": {"base_url": openai.url}, "together": {"base_url": together.url}}
        keys = {"openai": "key-of-a-test", "together": "key-of-a-test"}
        async with connect(bot, api_keys=keys, operator={"service_options": urls}) as client:
            yield client

    return start


async def answer_to(client: Client, text: str) -> tuple[str, list[Any]]:
    """Return the answer, and the server messages before its end."""
    found, messages = "", list[Any]()
    await client.send_text(text)
    async for event in client.events():
        if event.type == "server-message":
            messages.append(event.data)
        if event.type == "bot-transcription":
            found = str(event.data["text"])
        if event.type == "bot-turn-ended":
            return found, messages
    raise AssertionError("the session ended")


async def test_the_next_vendor_answers(start: Start, openai: FakeVendor, together: FakeVendor) -> None:
    """The client reads which provider serves. The next turn does not ask the vendor that fails."""
    async with start(receptionist) as client:
        answer, messages = await answer_to(client, "Hello?")
        assert answer == "Good evening."
        assert messages == [
            {
                "type": "failover",
                "service": "llm",
                "provider": "together",
                "chosen": "openai",
                "category": "unavailable",
            }
        ]
        assert await answer_to(client, "Is anybody there?") == ("Good evening.", [])
    assert len(openai.requests) == 1
    assert [request.json["temperature"] for request in together.requests] == [0.3, 0.3]


async def test_a_bot_file_says_the_same(start: Start) -> None:
    """It has a table instead of the class."""
    async with start(load_bot_file(Path(__file__).with_name("bot.toml"))) as client:
        assert (await answer_to(client, "Hello?"))[0] == "Good evening."


@pytest.mark.parametrize("name", ["bot.py", "bot.toml"])
def test_the_description_names_who_takes_over(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`rtvi describe` lists the providers in their order."""
    assert main(["describe", str(Path(__file__).with_name(name))]) == 0
    assert "  llm  openai, or together\n" in capsys.readouterr().out


async def test_a_loop_of_ones_own_fails_over(start: Start, openai: FakeVendor, together: FakeVendor) -> None:
    """If both fail, it says so."""
    async with start(plain) as client:
        assert (await answer_to(client, "Hello?"))[0] == "Good evening."
        together.on("/chat/completions", Answer(503))
        assert (await answer_to(client, "Hello?"))[0] == "I am sorry."
    assert len(openai.requests) == 2
