"""Functions that the bot's own LLM may call: the same declaration as for clients, under grants of its own."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Annotated, Any

import pytest
from attrs.validators import ge, in_, le

from rtvi_plugins import LLM, Doc, Grant, RequestError, Session, action, bot, converse
from rtvi_plugins.errors import BotError
from rtvi_plugins.kinds import Text, ToolCall
from rtvi_plugins.testing import host_for

from . import scripted
from .scripted import script
from .wire import Wire, connected, settle

pytestmark = pytest.mark.anyio


@bot(
    services={"llm": "scripted"},
    client=["llm:get_context", "llm:set_context"],
    functions=["bot:book", Grant("bot:rename", arguments={"name": in_(["Ada"])}), "bot:break_down", "llm:get_context"],
    public=True,
)
async def clerk(session: Session, /, llm: LLM) -> None:
    """Books rooms by itself."""
    await converse(session, llm=llm)


@action(clerk)
async def book(session: Session, /, nights: Annotated[int, ge(1), le(14), Doc("How many.")], name: str = "") -> int:
    """Books a room; returns what it costs."""
    return 80 * nights


@action(clerk)
def rename(name: str) -> str:
    """Runs in a thread."""
    return name


@action(clerk)
async def break_down(session: Session, /) -> None:
    """Never works."""
    raise RequestError("There is no room left.")


@action(clerk)
async def not_for_the_llm(session: Session, /) -> None:
    """Is granted to nobody."""


@action(clerk, long=True)
async def slow(session: Session, /) -> None:
    """Takes long."""


async def calling(wire: Wire, name: str, /, **arguments: Any) -> str:
    """Let the LLM call a function; returns what it was told of it."""
    script.write([ToolCall("1", name, arguments)], [Text("Done.")])
    wire.send("send-text", {"content": "go", "options": {}})
    await settle()
    told: str = script.requests[-1].messages[-1]["content"]  # type: ignore[assignment]
    return told


async def test_an_action_is_described_to_the_llm_as_to_clients() -> None:
    """Name, documentation, types and bounds come from its code; narrowing shows in the schema."""
    script.write([Text("Hi.")])
    async with connected(clerk, scripted) as wire:
        wire.send("send-text", {"content": "go", "options": {}})
        await settle()
        found = {each["name"]: each for each in script.requests[0].functions}
        assert set(found) == {"book", "rename", "break_down", "get_context"}
        assert found["book"] == {
            "name": "book",
            "description": "Books a room; returns what it costs.",
            "parameters": {
                "type": "object",
                "properties": {
                    "nights": {"type": "integer", "minimum": 1, "maximum": 14, "description": "How many."},
                    "name": {"type": "string"},
                },
                "additionalProperties": False,
                "required": ["nights"],
            },
        }
        assert found["rename"].get("parameters", {})["properties"]["name"]["enum"] == ["Ada"]


async def test_the_bot_carries_it_out_and_the_client_is_told_of_it() -> None:
    """It is not asked to do it, which would do it twice."""
    async with connected(clerk, scripted) as wire:
        assert await calling(wire, "book", nights=2) == "160"
        assert wire.told("llm-function-call-started") == [{"function_name": "book"}]
        assert wire.told("llm-function-call-in-progress") == []
        assert wire.told("llm-function-call-stopped") == [
            {"tool_call_id": "1", "function_name": "book", "cancelled": False, "result": 160}
        ]


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("book", {"nights": 99}, "nights: "),
        ("book", {"night": 1}, "Did you mean"),
        ("rename", {"name": "Bob"}, "does not grant"),
        ("break_down", {}, "There is no room left."),
    ],
)
async def test_what_is_wrong_is_told_to_the_llm(name: str, arguments: dict[str, Any], told: str) -> None:
    """In words that it can act upon."""
    async with connected(clerk, scripted) as wire:
        found = await calling(wire, name, **arguments)
        assert '"error"' in found
        assert told.lower() in found.lower()


async def test_an_action_that_is_not_granted_is_the_clients_to_carry_out() -> None:
    """An LLM that makes up a name reaches nothing of the bot's."""
    async with connected(clerk, scripted) as wire:
        script.write([ToolCall("1", "not_for_the_llm", {})])
        wire.send("send-text", {"content": "go", "options": {}})
        await settle()
        assert [each["function_name"] for each in wire.told("llm-function-call-in-progress")] == ["not_for_the_llm"]


async def test_the_bots_own_come_before_the_clients_of_the_same_name() -> None:
    """A client cannot put itself in the place of the bot's action."""
    async with connected(clerk, scripted) as wire:
        await wire.result(wire.call("llm:set_context", tools=[{"name": "book"}, {"name": "paint"}]))
        assert await calling(wire, "book", nights=1) == "80"
        assert [each["name"] for each in script.requests[0].functions].count("book") == 1
        assert "paint" in [each["name"] for each in script.requests[0].functions]


@pytest.mark.parametrize(
    ("granted", "message"),
    [
        ("bot:bookk", "Did you mean 'bot:book'?"),
        ("bot:xyzzy", "functions= grants 'bot:xyzzy'. There is bot:book, "),
        ("llm.messages", "which is an option"),
        ("bot:slow", "which is a long action"),
    ],
)
def test_a_grant_that_is_no_function_is_refused(granted: str, message: str) -> None:
    """When the bot is put together, and with what to write instead."""

    @bot(services={"llm": "scripted"}, functions=[granted])
    async def wrong(session: Session, /, llm: LLM) -> None: ...

    @action(wrong)
    async def book(session: Session, /) -> None: ...

    @action(wrong, long=True)
    async def slow(session: Session, /) -> None: ...

    module = ModuleType("declared_in_a_test")
    for each in (book, slow):
        each.__module__ = module.__name__
        setattr(module, each.__name__, each)
    with pytest.raises(BotError, match=re.escape(message)):
        host_for(wrong, scripted, module)
