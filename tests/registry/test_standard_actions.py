"""The standard actions and options, as the LLMHelper of the published clients calls them."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from rtvi_plugins import LLM, TTS, Grant, Session, bot, converse, roles
from rtvi_plugins.kinds import Text, ToolCall

from ..fakes import faulty
from ..fakes.providers import WAIT, Fakes
from ..fakes.wire import Wire, connected, settle

pytestmark = pytest.mark.anyio

ALL = "llm:append_to_messages llm:get_context llm:set_context llm:run tts:say tts:interrupt".split()
OPTIONS = "llm.messages llm.initial_messages llm.tools llm.run_on_config".split()


@bot(services={"llm": "scripted", "tts": "quiet"}, client=[*ALL, *OPTIONS], public=True)
async def helped(session: Session, /, llm: LLM, tts: TTS) -> None:
    """A bot that holds a conversation."""
    await converse(session, llm=llm, tts=tts)


@bot(
    services={"llm": "scripted"},
    client=[
        Grant("llm:append_to_messages", arguments={"messages": roles("user", "system", parts=["input_text"])}),
        "llm:get_context",
    ],
    public=True,
)
async def lenient(session: Session, /, llm: LLM) -> None:
    """A bot that grants the role `system` too."""
    await converse(session, llm=llm)


def fakes_of_two_answers() -> Fakes:
    """Providers whose LLM says two texts."""
    return Fakes([Text("Hello.")], [Text("Again.")])


def helper(
    made: Any = helped, *, fakes: Fakes | None = None, version: str | None = None, body: object = None
) -> AbstractAsyncContextManager[Wire]:
    """A session with a client of the generation that has an LLMHelper."""
    return connected(made, fakes or fakes_of_two_answers(), faulty, version=version, body=body)


def call(wire: Wire, action: str, arguments: list[dict[str, Any]] | None = None) -> str:
    """The message that LLMHelper sends: `arguments` are missing if there are none."""
    data: dict[str, Any] = {"service": "llm", "action": action}
    return wire.send("action", data if arguments is None else {**data, "arguments": arguments})


def named(**values: Any) -> list[dict[str, Any]]:
    """Arguments as LLMHelper writes them."""
    return [{"name": name, "value": value} for name, value in values.items()]


def user(text: str, role: str = "user") -> dict[str, Any]:
    """A message of the user."""
    return {"role": role, "content": text}


async def contents(wire: Wire) -> list[str]:
    """The texts of the conversation."""
    return [each["content"] for each in (await wire.result(call(wire, "get_context")))["messages"]]


# ---- the four calls of LLMHelper -----------------------------------------------------------------------------------


async def test_get_context() -> None:
    """It has no arguments, and returns messages and tools."""
    async with helper() as wire:
        assert await wire.result(call(wire, "get_context")) == {"messages": [], "tools": []}


async def test_append_to_messages() -> None:
    """LLMHelper always sends `run_immediately`. If it is true, the message is answered."""
    fakes = fakes_of_two_answers()
    async with helper(fakes=fakes) as wire:
        sent = named(messages=[user("one")], run_immediately=False)
        assert await wire.result(call(wire, "append_to_messages", sent)) is True
        await settle()
        assert fakes.requests == []
        sent = named(messages=[user("two"), user("three")], run_immediately=True)
        assert await wire.result(call(wire, "append_to_messages", sent)) is True
        await settle()
        assert await contents(wire) == ["one", "two", "three", "Hello."]


async def test_append_to_messages_without_flags_asks_for_no_answer() -> None:
    """A message with several parts is not changed."""
    parts = [{"type": "text", "text": "what is this?"}]
    fakes = fakes_of_two_answers()
    async with helper(fakes=fakes) as wire:
        await wire.result(call(wire, "append_to_messages", named(messages=[{"role": "user", "content": parts}])))
        await settle()
        assert fakes.requests == []
        (message,) = (await wire.result(call(wire, "get_context")))["messages"]
        assert message["content"] == parts


@pytest.mark.parametrize("content", ["", " \n", [], [{"type": "text", "text": " "}]])
async def test_append_to_messages_refuses_a_user_who_says_nothing(content: Any) -> None:
    """As `append-to-context` does: some vendors would refuse every request after it."""
    async with helper() as wire:
        messages = [user("one"), {"role": "user", "content": content}]
        error = await wire.error(call(wire, "append_to_messages", named(messages=messages)))
        assert error["code"] == "invalid-arguments"
        assert "messages: [1].content: expected a text that is not blank." in str(error)
        assert await contents(wire) == []


async def test_set_context() -> None:
    """LLMHelper sends `interrupt`. The conversation is replaced."""
    fakes = fakes_of_two_answers()
    async with helper(fakes=fakes) as wire:
        await wire.result(call(wire, "append_to_messages", named(messages=[user("one")], run_immediately=False)))
        sent = named(messages=[user("You are Ada.", "system"), user("hi")], interrupt=True)
        assert await wire.result(call(wire, "set_context", sent)) is True
        assert await contents(wire) == ["You are Ada.", "hi"]
        assert fakes.requests == []


async def test_set_context_with_tools_and_an_answer() -> None:
    """Open-source bots do the same. Tools that are not sent stay."""
    parameters: dict[str, Any] = {"type": "object", "properties": {}}
    tools = [{"name": "look", "description": "Looks.", "parameters": parameters}]
    fakes = fakes_of_two_answers()
    async with helper(fakes=fakes) as wire:
        sent = named(messages=[user("hi")], tools=tools, run_immediately=True)
        assert await wire.result(call(wire, "set_context", sent)) is True
        await settle()
        assert list(fakes.requests[0].functions) == tools
        await wire.result(call(wire, "set_context", named(messages=[user("anew")])))
        assert await wire.result(call(wire, "get_context")) == {"messages": [user("anew")], "tools": tools}


LOOK: dict[str, Any] = {"name": "look", "description": "Looks.", "strict": True}


@pytest.mark.parametrize("sent", [LOOK, {"type": "function", "function": LOOK}])
async def test_functions_are_accepted_with_and_without_openais_wrapping(sent: dict[str, Any]) -> None:
    """They may come from the action and from the config. The LLM and the client read them without the wrapping."""
    fakes = fakes_of_two_answers()
    async with helper(fakes=fakes) as wire:
        await wire.result(call(wire, "set_context", named(tools=[sent], run_immediately=True)))
        await settle()
        assert list(fakes.requests[0].functions) == [LOOK]
        assert (await wire.result(call(wire, "get_context")))["tools"] == [LOOK]
    async with helper(fakes=fakes, body={"config": [{"service": "llm", "options": named(tools=[sent])}]}) as wire:
        assert (await wire.result(call(wire, "get_context")))["tools"] == [LOOK]
        assert (await wire.config())["llm"]["tools"] == [sent]
        answer = await wire.answer(wire.update(llm={"tools": [sent]}))
        assert answer["type"] == "config"


@pytest.mark.parametrize(
    ("tool", "path"),
    [
        ({"type": "function", "function": {"nam": "look"}}, "$.data.arguments[0].value[0].function.nam"),
        ({"type": "function"}, "$.data.arguments[0].value[0].function"),
        ({"type": "functional", "function": LOOK}, "$.data.arguments[0].value[0].type"),
        ({"nam": "look"}, "$.data.arguments[0].value[0].nam"),
    ],
)
async def test_a_mistake_in_a_function_is_reported_where_it_is(tool: dict[str, Any], path: str) -> None:
    """The path has the form that the client has used."""
    async with helper() as wire:
        error = await wire.error(call(wire, "set_context", named(tools=[tool])))
        assert error["code"] == "invalid-arguments"
        assert path in [each["path"] for each in error["details"]]


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        *((each, each) for each in ("none", "auto", "required", "look")),
        ({"type": "function", "function": {"name": "look"}}, "look"),
    ],
)
async def test_tool_choice_is_passed_to_the_llm(sent: object, asked: str) -> None:
    """It is passed in its short form, and stays until it is set again."""
    fakes = fakes_of_two_answers()
    async with helper(fakes=fakes) as wire:
        assert "tool_choice" not in await wire.result(call(wire, "get_context"))
        arguments = named(tools=[LOOK], tool_choice=sent, run_immediately=True)
        await wire.result(call(wire, "set_context", arguments))
        await settle()
        await wire.result(call(wire, "run"))
        await settle()
        assert [each.tool_choice for each in fakes.requests] == [asked, asked]
        assert (await wire.result(call(wire, "get_context")))["tool_choice"] == asked
        await wire.result(call(wire, "set_context", named(tool_choice="auto")))
        assert (await wire.result(call(wire, "get_context")))["tool_choice"] == "auto"


async def test_without_a_tool_choice_providers_are_asked_for_none() -> None:
    """So providers that do not know it are not affected."""
    fakes = fakes_of_two_answers()
    async with helper(fakes=fakes) as wire:
        await wire.result(call(wire, "run"))
        await settle()
        assert fakes.requests[0].tool_choice is None


async def test_a_function_must_be_called_once_in_a_turn() -> None:
    """After the result, the LLM may answer. Otherwise it would call functions for ever."""
    fakes = Fakes([ToolCall("1", "look", {})], [Text("Found it.")], [Text("Again.")])
    async with helper(fakes=fakes) as wire:
        sent = named(tools=[LOOK], tool_choice="required", run_immediately=True)
        await wire.result(call(wire, "set_context", sent))
        await settle()
        result: dict[str, Any] = {"function_name": "look", "tool_call_id": "1", "arguments": {}, "result": "ok"}
        wire.send("llm-function-call-result", result)
        await settle()
        await wire.result(call(wire, "run"))
        await settle()
        assert [each.tool_choice for each in fakes.requests] == ["required", None, "required"]


async def test_a_required_function_that_is_gone_is_not_asked_for() -> None:
    """Vendors refuse a request that names an undeclared function."""
    fakes = fakes_of_two_answers()
    async with helper(fakes=fakes) as wire:
        await wire.result(call(wire, "set_context", named(tools=[LOOK], tool_choice="look")))
        await wire.result(call(wire, "set_context", named(tools=[], run_immediately=True)))
        await settle()
        assert fakes.requests[0].tool_choice is None


@pytest.mark.parametrize("sent", ["loook", {"type": "function", "function": {"name": "loook"}}])
async def test_a_tool_choice_names_a_function_that_there_is(sent: object) -> None:
    """Otherwise nothing changes, not even the functions. The nearest name is suggested."""
    async with helper() as wire:
        await wire.result(call(wire, "set_context", named(messages=[user("hi")], tools=[LOOK])))
        before = await wire.result(call(wire, "get_context"))
        arguments = named(messages=[user("bye")], tools=[{"name": "looks"}, LOOK], tool_choice=sent)
        error = await wire.error(call(wire, "set_context", arguments))
        assert "did you mean 'look" in error["error"]
        assert error["code"] == "invalid-arguments"
        [problem] = error["details"]
        assert problem["path"] == "$.data.arguments[2].value"
        assert problem["suggestion"] in ("look", "looks")
        assert await wire.result(call(wire, "get_context")) == before


@pytest.mark.parametrize("arguments", [None, [], named(interrupt=False), named(interrupt=True)])
async def test_run(arguments: list[dict[str, Any]] | None) -> None:
    """With or without `interrupt`, the LLM answers the conversation as it is."""
    async with helper() as wire:
        assert await wire.result(call(wire, "run", arguments)) is True
        await settle()
        assert await contents(wire) == ["Hello."]


async def test_interrupt_cuts_short_what_is_being_said() -> None:
    """The interruption comes first."""
    fakes = Fakes([Text("Once "), WAIT], [Text("Again.")])
    async with helper(fakes=fakes) as wire:
        await wire.result(call(wire, "run"))
        await settle()
        await wire.result(call(wire, "run", named(interrupt=True)))
        await settle()
        assert await contents(wire) == ["Once ", "Again."]


async def test_a_newer_client_reaches_the_same() -> None:
    """A client message calls it. Its answer is the result itself."""
    async with helper(version="1.13.1") as wire:
        d = {"service": "llm", "action": "append_to_messages", "arguments": {"messages": [user("one")]}}
        answer = await wire.answer(wire.send("client-message", {"t": "action", "d": d}))
        assert (answer["type"], answer["data"]) == ("server-response", {"t": "action", "d": True})
        answer = await wire.answer(
            wire.send("client-message", {"t": "action", "d": {"service": "llm", "action": "get_context"}})
        )
        assert answer["data"]["d"]["messages"] == [user("one")]


# ---- saying --------------------------------------------------------------------------------------------------------


async def test_say_and_interrupt() -> None:
    """The text comes after the present speech. With `interrupt`, it replaces the present speech."""
    fakes = fakes_of_two_answers()
    async with helper(fakes=fakes) as wire:
        assert await wire.result(wire.call("tts:interrupt")) is False
        fakes.write([Text("Once "), WAIT])
        await wire.result(call(wire, "run"))
        await settle()
        assert await wire.result(wire.call("tts:say", text="Later.")) is True
        await settle()
        assert await contents(wire) == []
        assert await wire.result(wire.call("tts:say", text="Now.", interrupt=True)) is True
        await settle()
        assert await contents(wire) == ["Once ", "Now."]


# ---- what clients may not say --------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["system", "developer", "assistant", "tool"])
async def test_messages_are_the_users_unless_the_bot_says_otherwise(role: str) -> None:
    """One other message refuses all of them."""
    fakes = fakes_of_two_answers()
    async with helper(fakes=fakes) as wire:
        sent = named(messages=[user("one"), user("obey", role)], run_immediately=True)
        error = await wire.error(call(wire, "append_to_messages", sent))
        assert error["code"] == "not-granted"
        assert "messages may have the role user" in error["error"]
        assert await contents(wire) == []
        assert fakes.requests == []


async def test_a_blank_part_of_any_type_is_refused() -> None:
    """The bot grants parts of OpenAI's other type of text."""
    async with helper(lenient) as wire:
        blank, text = ({"role": "user", "content": [{"type": "input_text", "text": each}]} for each in (" ", "one"))
        error = await wire.error(call(wire, "append_to_messages", named(messages=[blank])))
        assert error["code"] == "invalid-arguments"
        await wire.result(call(wire, "append_to_messages", named(messages=[text])))


async def test_a_bot_may_grant_other_roles() -> None:
    """It grants the roles that it names."""
    async with helper(lenient) as wire:
        await wire.result(call(wire, "append_to_messages", named(messages=[user("obey", "system")])))
        error = await wire.error(call(wire, "append_to_messages", named(messages=[user("I said", "assistant")])))
        assert error["code"] == "not-granted"
        assert await contents(wire) == ["obey"]


@pytest.mark.parametrize(
    "message", [{}, {"role": "user"}, {"role": "king", "content": ""}, user("hi") | {"x": 1}, "hi"]
)
async def test_what_is_no_message_is_refused(message: Any) -> None:
    """The error has the path."""
    async with helper() as wire:
        error = await wire.error(call(wire, "append_to_messages", named(messages=[message])))
        assert error["code"] == "invalid-arguments"
        assert error["details"][0]["path"].startswith("$.data.arguments[0].value[0]")


CALL = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "sun"}


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([user("hi"), RESULT], "[1].tool_call_id: no message before has the call 'a'"),
        ([CALLING, RESULT, RESULT], "[2].tool_call_id: no message before has the call 'a'"),
        ([CALLING, user("hi")], "[0].tool_calls[0]: the call 'a' has no result"),
    ],
)
async def test_a_result_without_its_call_is_refused(messages: Any, says: str) -> None:
    """Vendors refuse it, so the conversation could not continue. The same holds for a call without a result."""
    async with helper() as wire:
        error = await wire.error(call(wire, "set_context", named(messages=messages)))
        assert error["code"] == "invalid-arguments"
        assert says in error["error"]
        for option in ("messages", "initial_messages"):
            assert says in (await wire.error(wire.update(llm={option: messages})))["error"]
        assert await wire.result(call(wire, "set_context", named(messages=[CALLING, RESULT, user("hi")]))) is True


@pytest.mark.parametrize(
    ("tools", "says"),
    [
        ([{"name": "bad name!"}], "[0].name: no vendor accepts 'bad name!'"),
        ([{"name": ""}], "[0].name: no vendor accepts ''"),
        ([{"name": "look"}, {"type": "function", "function": {"name": "look"}}], "[1].name: 'look' is the name of"),
        ([{"name": "look", "parameters": {"type": "string"}}], "[0].parameters.type: expected 'object', got 'string'"),
    ],
)
async def test_functions_that_every_vendor_refuses_are_refused(tools: Any, says: str) -> None:
    """Otherwise the client would see the vendor's error with each answer."""
    async with helper() as wire:
        assert says in (await wire.error(wire.update(llm={"tools": tools})))["error"]
        assert says in (await wire.error(call(wire, "set_context", named(tools=tools))))["error"]


@pytest.mark.parametrize(
    "tool",
    [
        {"name": "get-weather.now:v1", "parameters": {}},
        {"name": "look", "parameters": {"properties": {}}},
        {"name": "look", "parameters": {"type": "OBJECT"}},
        {"name": "look", "parameters": {"type": ["object", "null"]}},
    ],
)
async def test_functions_that_some_vendor_accepts_are_accepted(tool: Any) -> None:
    """Configs for one vendor continue to work."""
    async with helper() as wire:
        assert await wire.result(call(wire, "set_context", named(tools=[tool]))) is True


@pytest.mark.parametrize("text", ["", "  \n"])
async def test_a_blank_text_is_refused(text: str) -> None:
    """The LLM is not asked. Some vendors refuse an empty message."""
    fakes = fakes_of_two_answers()
    async with helper(fakes=fakes) as wire:
        sent = [wire.send("send-text", {"content": text})]
        sent.append(wire.send("append-to-context", {"role": "user", "content": text, "run_immediately": True}))
        for each in sent:
            error = await wire.error(each)
            assert error["details"] == [{"path": "$.data.content", "message": "expected a text that is not blank."}]
        assert await contents(wire) == []
        assert fakes.requests == []


# ---- options -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["messages", "initial_messages"])
async def test_a_conversation_may_start_from_messages(name: str) -> None:
    """Either name works, in the start or later. A change replaces the conversation."""
    body = {"config": [{"service": "llm", "options": named(**{name: [user("You are Ada.", "system")]})}]}
    async with helper(body=body) as wire:
        assert await contents(wire) == ["You are Ada."]
        await wire.result(call(wire, "append_to_messages", named(messages=[user("hi")])))
        await wire.answer(wire.update(llm={name: [user("You are Bob.", "system")]}))
        assert await contents(wire) == ["You are Bob."]


async def test_run_on_config_speaks_first_with_all_that_the_start_has_set() -> None:
    """It is applied once, when the client is ready, and after all other options, wherever it is in the start."""
    sent = named(run_on_config=True, tools=[{"name": "look"}], messages=[user("Greet.", "system")])
    fakes = fakes_of_two_answers()
    async with helper(fakes=fakes, body={"config": [{"service": "llm", "options": sent}]}) as wire:
        await settle()
        (request,) = fakes.requests
        assert [each["content"] for each in request.messages] == ["Greet."]
        assert list(request.functions) == [{"name": "look"}]
        assert await contents(wire) == ["Greet.", "Hello."]


async def test_everything_standard_is_described() -> None:
    """The description has types, defaults and documentation, as for a plugin."""
    async with helper() as wire:
        actions = (await wire.answer(wire.send("describe-actions")))["data"]["actions"]
        assert {f"{each['service']}:{each['action']}" for each in actions} == set(ALL)
        assert all(each["description"] for each in actions)
        described = {each["action"]: each for each in actions}
        assert [(each["name"], each["type"]) for each in described["append_to_messages"]["arguments"]] == [
            ("messages", "array"),
            ("run_immediately", "bool"),
            ("interrupt", "bool"),
        ]
        assert (described["get_context"]["result"], described["run"]["result"]) == ("object", "bool")
        config = (await wire.answer(wire.send("describe-config")))["data"]["config"]
        assert {f"{each['name']}.{option['name']}" for each in config for option in each["options"]} == set(OPTIONS)
