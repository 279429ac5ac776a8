"""The provider inside a bot, as a client sees it over the protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from rtvi_plugins import LLM, RequestError, Session, bot, converse
from rtvi_plugins.client import Client, EventMessage
from rtvi_plugins.testing import connect, rule_tests
from rtvi_plugins_rules import llm as rules

pytestmark = pytest.mark.anyio

#: What bots rely on, rule by rule.
test_rule = rule_tests("rtvi-plugins-rules")

WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@bot(
    services={"llm": "rules"},
    config={"llm": {"tools": [WEATHER]}},
    client=["llm.words_per_second", "llm.name"],
)
async def talker(session: Session, /, llm: LLM) -> None:
    """Answers by rules."""
    await converse(session, llm=llm)


async def hear(events: AsyncIterator[EventMessage], until: str = "bot-llm-stopped") -> str:
    """Return the bot's words up to an event."""
    words: list[str] = []
    async for event in events:
        if event.type == "bot-llm-text":
            words.append(event.data["text"])
        if event.type == until:
            break
    return "".join(words)


async def talk(client: Client, events: AsyncIterator[EventMessage], *texts: str) -> list[str]:
    """Return the answers to some texts, one after the other."""
    answers: list[str] = []
    for text in texts:
        await client.send_text(text)
        answers.append(await hear(events))
    return answers


async def test_its_options_are_described_with_their_bounds() -> None:
    """A client reads the options from their declaration."""
    async with connect(talker, rules) as client:
        (service,) = [each for each in await client.describe_config() if each["name"] == "llm"]
    described = {option["name"]: option for option in service["options"]}
    assert {name: option["type"] for name, option in described.items()} == {
        "words_per_second": "number",
        "name": "string",
    }


async def test_an_option_out_of_bounds_is_refused() -> None:
    """The pace has an upper bound."""
    async with connect(talker, rules) as client:
        with pytest.raises(RequestError, match="words_per_second"):
            await client.update_config({"llm": {"words_per_second": 101}})
        assert (await client.get_config()).values["llm"]["words_per_second"] == 0


async def test_a_conversation_is_remembered() -> None:
    """The bot knows a fact several turns later, and an option changes its name."""
    async with connect(talker, rules) as client:
        events = client.events()
        await talk(client, events, "My name is Ada.", "hello", "count to 3")
        assert await talk(client, events, "What is my name?") == ["Your name is Ada."]
        await client.update_config({"llm": {"name": "Otto"}})
        assert (await talk(client, events, "Who are you?"))[0].startswith("I am Otto, a rule-based replacement")


async def test_a_function_is_run_by_the_client() -> None:
    """The client gets the arguments that were found, and the bot says the result."""
    asked: list[Mapping[str, Any]] = []

    async def get_weather(arguments: Mapping[str, Any]) -> dict[str, Any]:
        asked.append(arguments)
        return {"sky": "clear"}

    async with connect(talker, rules) as client:
        events = client.events()
        client.register_function("get_weather", get_weather)
        assert await talk(client, events, "How is the weather?") == ["Before I get weather, tell me: what is the city?"]
        assert await talk(client, events, "New York") == [""]
        assert await hear(events) == "Done: get weather, with city New York. The answer is: sky clear."
    assert asked == [{"city": "New York"}]


async def test_an_answer_is_interrupted_in_the_middle() -> None:
    """A slow story can be interrupted, and the conversation continues."""
    async with connect(talker, rules) as client:
        events = client.events()
        await client.update_config({"llm": {"words_per_second": 100}})
        await client.send_text("Tell me a story")
        assert await hear(events, until="bot-llm-text") == "Once "
        await client.send_text("2 + 2")
        assert len((await hear(events)).split()) < 50
        assert await hear(events) == "That is 4."
