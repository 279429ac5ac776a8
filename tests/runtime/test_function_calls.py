"""Functions that the bot's own LLM may call: the same declaration as for clients, under grants of its own."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Annotated, Any, cast

import pytest
from attrs.validators import ge, in_, le

from rtvi_plugins import LLM, Doc, Grant, RequestError, Session, action, bot, converse
from rtvi_plugins.errors import BotError
from rtvi_plugins.hosting import Limits
from rtvi_plugins.kinds import Text, ToolCall
from rtvi_plugins.testing import host_for

from ..fakes.providers import Fakes
from ..fakes.wire import Wire, connected, settle

pytestmark = pytest.mark.anyio


@bot(
    services={"llm": "scripted"},
    client=["llm:get_context", "llm:set_context", "bot:call_wrongly", "bot:call_misspelt"],
    functions=["bot:book", Grant("bot:rename", arguments={"name": in_(["Ada"])}), "bot:break_down", "llm:get_context"],
    public=True,
)
async def clerk(session: Session, /, llm: LLM) -> None:
    """A bot whose LLM books rooms."""
    await converse(session, llm=llm)


@bot(services={"llm": "scripted"}, public=True)
async def chatter(session: Session, /, llm: LLM) -> None:
    """A bot without functions."""
    await converse(session, llm=llm)


@action(clerk)
async def book(session: Session, /, nights: Annotated[int, ge(1), le(14), Doc("How many.")], name: str = "") -> int:
    """Book a room and return its price."""
    return 80 * nights


@action(clerk)
def rename(name: str) -> str:
    """Run in a thread."""
    return name


@action(clerk)
async def break_down(session: Session, /) -> None:
    """Raise."""
    raise RequestError("There is no room left.")


@action(clerk)
async def not_for_the_llm(session: Session, /) -> None:
    """An action that is not granted to the LLM."""


@action(clerk)
async def call_misspelt(session: Session, /) -> Any:
    """Call a function by a wrong name."""
    return await session.call_function("bookk", {"nights": 1})


@action(clerk, long=True)
async def slow(session: Session, /) -> None:
    """Take long."""


async def calling(fakes: Fakes, wire: Wire, name: str, /, **arguments: Any) -> str:
    """Let the LLM call a function. Return the result that the LLM reads."""
    fakes.write([ToolCall("1", name, arguments)], [Text("Done.")])
    wire.send("send-text", {"content": "go", "options": {}})
    await settle()
    content: str = fakes.requests[-1].messages[-1]["content"]  # type: ignore[assignment]
    return content


async def test_an_action_is_described_to_the_llm_as_to_clients() -> None:
    """Name, documentation, types and bounds come from the code. The limits of the grant are in the schema."""
    fakes = Fakes([Text("Hi.")])
    async with connected(clerk, fakes) as wire:
        wire.send("send-text", {"content": "go", "options": {}})
        await settle()
        found = {each["name"]: each for each in fakes.requests[0].functions}
        assert set(found) == {"book", "rename", "break_down", "get_context"}
        assert found["book"] == {
            "name": "book",
            "description": "Book a room and return its price.",
            "parameters": {
                "type": "object",
                "properties": {
                    "nights": {"type": "integer", "minimum": 1, "maximum": 14, "description": "How many."},
                    "name": {"type": "string", "default": ""},
                },
                "additionalProperties": False,
                "required": ["nights"],
            },
        }
        assert found["rename"].get("parameters", {})["properties"]["name"]["enum"] == ["Ada"]


async def test_the_bot_carries_it_out_and_the_client_is_told_of_it() -> None:
    """The client does not get the arguments: with them, it would run the function a second time."""
    fakes = Fakes()
    async with connected(clerk, fakes) as wire:
        assert await calling(fakes, wire, "book", nights=2.0) == "160"
        assert wire.data_of("llm-function-call-started") == [{"function_name": "book"}]
        assert wire.data_of("llm-function-call-in-progress") == []
        assert wire.data_of("llm-function-call-stopped") == [
            {"tool_call_id": "1", "function_name": "book", "cancelled": False, "result": 160}
        ]


async def test_a_transport_may_report_the_arguments_of_a_call() -> None:
    """A client that observes the bot gets the whole call and its result, also those of a refused call."""
    fakes = Fakes()
    async with connected(clerk, fakes) as wire:
        wire.connection.report_functions()
        assert await calling(fakes, wire, "book", nights=2.0) == "160"
        assert "error" in await calling(fakes, wire, "book", nights=99)
        calls, ends = wire.data_of("llm-function-call-in-progress"), wire.data_of("llm-function-call-stopped")
        assert [(each["function_name"], each["arguments"]) for each in calls] == [
            ("book", {"nights": 2.0}),
            ("book", {"nights": 99}),
        ]
        assert [each["tool_call_id"] for each in calls] == [each["tool_call_id"] for each in ends]
        assert ends[0]["result"] == 160


async def test_a_call_whose_report_is_too_long_for_the_client_fails() -> None:
    """The session continues, and the LLM reads why the call failed."""
    fakes = Fakes()
    async with connected(clerk, fakes, limits=Limits(outbox_size=2_000)) as wire:
        wire.connection.report_functions()
        assert "too long" in await calling(fakes, wire, "book", nights=2, name="x" * 3_000)
        assert await calling(fakes, wire, "book", nights=2) == "160"


@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("book", {"nights": 99}, "nights: "),
        ("book", {"night": 1}, "Did you mean"),
        ("rename", {"name": "Bob"}, "does not grant"),
        ("break_down", {}, "There is no room left."),
    ],
)
async def test_what_is_wrong_is_told_to_the_llm(name: str, arguments: dict[str, Any], problem: str) -> None:
    """The words tell the LLM what to change."""
    fakes = Fakes()
    async with connected(clerk, fakes) as wire:
        found = await calling(fakes, wire, name, **arguments)
        assert '"error"' in found
        assert problem.lower() in found.lower()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("not_for_the_llm", ""),
        ("bookk", "Did you mean 'book'?"),
        ("functions.book", ""),
        ("", ""),
        ("a b", ""),
    ],
)
async def test_an_llm_that_calls_a_function_that_is_not_declared_is_given_the_names_at_once(
    name: str, hint: str
) -> None:
    """A name that the LLM has invented calls nothing of the bot, and no client waits for it."""
    fakes = Fakes()
    async with connected(clerk, fakes) as wire:
        found = await calling(fakes, wire, name)
        assert f"There is no function {name!r}." in found
        assert "get_context, book, rename, break_down" in found
        assert hint in found
        assert wire.data_of("llm-function-call-started") == wire.data_of("llm-function-call-stopped") == []


async def test_an_llm_that_calls_a_function_where_there_is_none_is_asked_to_answer_in_words() -> None:
    """There is no name to suggest."""
    fakes = Fakes()
    async with connected(chatter, fakes) as wire:
        assert "no other function" in await calling(fakes, wire, "search_web")


async def test_a_call_whose_arguments_could_not_be_read_is_not_run() -> None:
    """The result that the LLM reads is the problem. In the context, the call is valid."""
    fakes = Fakes(
        [ToolCall.parse("1", "book", '{"nights": 2')], [ToolCall("2", "book", {"nights": 2})], [Text("Done.")]
    )
    async with connected(clerk, fakes) as wire:
        wire.send("send-text", {"content": "go", "options": {}})
        await settle()
        first, second = (request.messages for request in fakes.requests[1:])
        assert [each["role"] for each in first] == ["user", "assistant", "tool"]
        assert "not a JSON object" in str(first[-1]["content"])
        assert '{\\"nights\\": 2' in str(first[-1]["content"])
        assert second[-1]["content"] == "160"
        assert [each["tool_call_id"] for each in wire.data_of("llm-function-call-stopped")] == ["2"]


async def test_the_bots_own_come_before_the_clients_of_the_same_name(caplog: pytest.LogCaptureFixture) -> None:
    """A client cannot replace the bot's action. The log says that its function is not called."""
    fakes = Fakes()
    async with connected(clerk, fakes) as wire:
        await wire.result(wire.call("llm:set_context", tools=[{"name": "book"}, {"name": "paint"}]))
        assert await calling(fakes, wire, "book", nights=1) == "80"
        assert [each["name"] for each in fakes.requests[0].functions].count("book") == 1
        assert "paint" in [each["name"] for each in fakes.requests[0].functions]
    assert "the client offers the function 'book', but the bot has one itself" in caplog.text
    assert "'paint'" not in caplog.text


async def test_a_function_that_nobody_has_declared_is_logged_with_the_one_that_is_meant(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The client is asked all the same, because it may run functions that it has not offered."""
    async with connected(clerk, Fakes()) as wire:
        wire.call("bot:call_misspelt")
        await settle()
        assert [each["function_name"] for each in wire.data_of("llm-function-call-in-progress")] == ["bookk"]
    assert "has declared the function 'bookk'. The client is asked. Did you mean 'book'?" in caplog.text


@pytest.mark.parametrize("again", ["1", ""])
async def test_each_call_of_a_conversation_has_an_id_of_its_own(again: str) -> None:
    """Some vendors count from the beginning in each answer, or repeat an id within one. Some send no id."""
    fakes = Fakes()
    async with connected(clerk, fakes) as wire:
        await calling(fakes, wire, "book", nights=1)
        fakes.write([ToolCall(again, "book", {"nights": 2}), ToolCall(again, "book", {"nights": 3})], [Text("Done.")])
        wire.send("send-text", {"content": "go", "options": {}})
        await settle()
        results = {each.get("tool_call_id"): each["content"] for each in fakes.requests[-1].messages}
        del results[None]
        assert "" not in results
        assert list(results.values()) == ["80", "160", "240"]


@pytest.mark.parametrize(
    ("granted", "message"),
    [
        ("bot:bookk", "Did you mean 'bot:book'?"),
        ("bot:xyzzy", "functions= grants 'bot:xyzzy'. There is bot:book, "),
        ("llm.messages", "which is an option"),
        ("bot:slow", "which is a long action"),
        ("bot:büchen", "Vendors of LLMs accept only names of at most 64 letters A to Z, digits and '_'."),
    ],
)
def test_a_grant_that_is_no_function_is_refused(granted: str, message: str) -> None:
    """It is refused when the bot is loaded, and the error says what to write instead."""

    @bot(services={"llm": "scripted"}, functions=[granted])
    async def wrong(session: Session, /, llm: LLM) -> None: ...

    @action(wrong)
    async def book(session: Session, /) -> None: ...

    @action(wrong, long=True)
    async def slow(session: Session, /) -> None: ...

    @action(wrong)
    async def büchen(session: Session, /) -> None: ...

    module = ModuleType("declared_in_a_test")
    for each in (book, slow, büchen):
        each.__module__ = module.__name__
        setattr(module, each.__name__, each)
    with pytest.raises(BotError, match=re.escape(message)):
        host_for(wrong, Fakes(), module)


@action(clerk)
async def call_wrongly(session: Session, /) -> list[str]:
    """Call functions of the bot and of the client with a list in place of a mapping."""
    found: list[str] = []
    for name in ("book", "of_the_client"):
        try:
            await session.call_function(name, cast("dict[str, Any]", [3, "Ada"]))
        except TypeError as error:
            found.append(str(error))
    return found


async def test_arguments_that_are_no_mapping_fail_at_the_authors_line() -> None:
    """Nothing else ends."""
    fakes = Fakes()
    async with connected(clerk, fakes) as wire:
        results = await wire.result(wire.call("bot:call_wrongly"))
        assert ["mapping of values by name, not a list" in each for each in results] == [True, True]
        assert (await wire.answer(wire.send("get-config", {})))["type"] == "config"
