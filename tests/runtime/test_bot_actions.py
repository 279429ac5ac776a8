"""Actions of a bot: under a service name of their own, with the bot's services, and called by client messages."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest
from attrs import frozen
from attrs.validators import max_len

from rtvi_plugins import LLM, Grant, RequestError, Session, action, bot, service
from rtvi_plugins.declare.action import PROTOCOL_TYPES
from rtvi_plugins.errors import InvalidArguments, Problem
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text
from rtvi_plugins.limits import Limits
from rtvi_plugins.testing import host_for

from ..fakes.wire import Wire, connected

pytestmark = pytest.mark.anyio


@frozen
class OneWordLLM:
    """An LLM whose every answer is one word."""

    word: str

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Answer with the word."""
        yield Text(self.word)


@service("llm", "first")
@asynccontextmanager
async def first_llm() -> AsyncGenerator[OneWordLLM]:
    """The default provider."""
    yield OneWordLLM("first")


@service("llm", "second")
@asynccontextmanager
async def second_llm() -> AsyncGenerator[OneWordLLM]:
    """Another provider."""
    yield OneWordLLM("second")


@bot(
    services={"llm": ["first", "second"], "other": "second"},
    functions=["context:reset"],
    client=[
        "context:reset",
        "bot:ask",
        "bot:ask_in_a_turn",
        "bot:keep",
        "bot:speak_to",
        "bot:ping",
        "bot:refuse",
        Grant("bot:note", arguments={"text": max_len(5)}),
        "bot:count",
        "bot:book",
        "bot:book_later",
    ],
)
async def agent(session: Session, /, llm: LLM, other: LLM) -> None:
    """A bot with actions of its own."""


@action(agent, service="context")
async def reset(session: Session, /) -> str:
    """Forget the conversation."""
    session.context.replace([])
    return "forgotten"


async def word_of(llm: LLM) -> str:
    """The answer of an LLM."""
    return "".join([each.text async for each in llm.respond(LLMRequest((), ())) if isinstance(each, Text)])


@action(agent)
async def ask(other: LLM, session: Session, llm: LLM, /) -> list[str]:
    """Ask both LLMs, before and after a switch."""
    before = [await word_of(llm), await word_of(other)]
    await session.switch("llm", "second")
    return [*before, await word_of(llm)]


@action(agent)
async def ask_in_a_turn(llm: LLM, session: Session, /) -> list[str]:
    """Ask within a turn, which keeps the service with which it began."""
    async with session.turn():
        await session.switch("llm", "second")
        during = await word_of(llm)
    return [during, await word_of(llm)]


@action(agent, message="keep")
async def keep(anything: Any) -> Any:
    """Return any JSON value."""
    return anything


@action(agent, message="speak to")
async def speak_to(session: Session, /, language: Literal["en", "de"] = "en") -> str:
    """Take data of a declared type."""
    return language


@action(agent, message="ping")
async def ping() -> str:
    """Take no data."""
    return "pong"


@action(agent, message="refuse")
async def refuse(why: str) -> None:
    """Refuse the call, with a sentence for the client."""
    raise RequestError(f"Not now: {why}.")


@action(agent, message="note")
async def note(text: str) -> int:
    """Take an argument that the grant narrows."""
    return len(text)


@action(agent, message="book")
async def book(nights: int) -> int:
    """Refuse a value that its type allows."""
    raise InvalidArguments([Problem("nights", "the hotel is full."), Problem("$", "come again.")])


@action(agent, long=True)
async def book_later(nights: int) -> int:
    """Refuse it as a background job."""
    return await book(nights)


@action(agent, message="count", long=True)
async def count(to: int) -> int:
    """Run as a background job."""
    return to


@action(agent, message="secret")
async def secret(anything: Any = None) -> None:
    """An action that is not granted."""


async def message(wire: Wire, t: str, *d: Any) -> Any:
    """Send a client message and return the data of its one answer."""
    answer = await wire.answer(wire.send("client-message", {"t": t, **({"d": d[0]} if d else {})}))
    assert answer["type"] == "error-response" or answer["data"]["t"] == t
    return answer["data"]["d"] if answer["type"] == "server-response" else answer["data"]


# ---- a service name of its own -------------------------------------------------------------------------------------


async def test_an_action_is_called_under_the_service_that_it_names() -> None:
    """Clients of every generation can call it. Names of other actions of the bot do not work."""
    async with connected(agent, version=None) as old:
        assert await old.result(old.call("context:reset")) == "forgotten"
        assert (await old.error(old.call("bot:reset")))["code"] == "unknown-action"
    async with connected(agent) as new:
        sent = {"service": "context", "action": "reset"}
        assert await message(new, "action", sent) == "forgotten"
        assert (await message(new, "reset"))["code"] == "unknown-message"


async def test_an_action_is_described_under_the_service_that_it_names() -> None:
    """The other actions are described there too."""
    async with connected(agent) as wire:
        described = await message(wire, "describe-actions")
        names = [f"{each['service']}:{each['action']}" for each in described["actions"]]
        assert "context:reset" in names
        assert "bot:ask" in names


async def test_the_llm_may_call_an_action_under_a_service_name() -> None:
    """The LLM knows the action by the name of its function."""

    @bot(services={"llm": "first"}, functions=["context:reset"])
    async def caller(session: Session, /, llm: LLM) -> None:
        session.send([[each["name"] for each in session.functions], await session.call_function("reset", {})])

    async def reset(session: Session, /) -> str:
        return "by the LLM"

    action(caller, service="context")(reset)
    module = type(pytest)("declared")
    reset.__module__ = module.__name__
    vars(module)["reset"] = reset
    async with connected(caller, module) as wire:
        assert wire.data_of("server-message") == [[["reset"], "by the LLM"]]


# ---- the services of the bot ---------------------------------------------------------------------------------------


async def test_an_action_receives_the_services_of_its_bot_by_name() -> None:
    """Services and the session may be in any order. Services are handles, so they follow a switch."""
    async with connected(agent) as wire:
        assert await wire.result(wire.call("bot:ask")) == ["first", "second", "second"]


async def test_a_service_of_an_action_stays_the_same_within_a_turn() -> None:
    """The same is true for the services of the bot."""
    async with connected(agent) as wire:
        assert await wire.result(wire.call("bot:ask_in_a_turn")) == ["first", "second"]


# ---- client messages -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [None, False, 0, "", [], {}, [1, {"a": [None]}], {"name": "x", "value": 1}])
async def test_a_message_with_any_data_is_answered_with_the_result(data: Any) -> None:
    """The data is passed exactly as it was sent."""
    async with connected(agent) as wire:
        assert await message(wire, "keep", data) == data


async def test_a_message_without_data_means_the_default_or_null() -> None:
    """If the argument has no default, it is null."""
    async with connected(agent) as wire:
        assert await message(wire, "keep") is None
        assert await message(wire, "speak to") == "en"
        assert await message(wire, "ping") == "pong"
        refused = await message(wire, "note")
        assert refused["details"] == [{"path": "$.data.d", "message": "expected a string, got null"}]


async def test_the_data_of_a_message_is_checked_against_the_annotation() -> None:
    """An action without an argument accepts no data."""
    async with connected(agent) as wire:
        assert await message(wire, "speak to", "de") == "de"
        wrong: Sequence[tuple[str, Any]] = (("speak to", "fr"), ("speak to", None), ("speak to", {"language": "de"}))
        for t, d in (*wrong, ("ping", 1), ("note", 5)):
            refused = await message(wire, t, d)
            assert refused["code"] == "invalid-arguments"
            assert [each["path"] for each in refused["details"]] == ["$.data.d"]


async def test_a_message_is_granted_like_its_action() -> None:
    """The limits of the grant apply. Without a grant, the error names the action."""
    async with connected(agent) as wire:
        assert await message(wire, "note", "hello") == 5
        long = await message(wire, "note", "hello!")
        assert (long["code"], long["details"][0]["path"]) == ("not-granted", "$.data.d")
        refused = await message(wire, "secret", 1)
        assert (refused["code"], refused["details"][0]["path"]) == ("not-granted", "$.data.t")
        assert "'bot:secret'" in refused["details"][0]["message"]


async def test_an_action_with_a_message_can_still_be_called_by_its_name() -> None:
    """So older clients can call it."""
    async with connected(agent, version=None) as wire:
        assert await wire.result(wire.call("bot:speak_to", language="de")) == "de"
        assert await wire.result(wire.call("bot:keep", anything=[1])) == [1]


async def test_a_refused_message_has_one_answer() -> None:
    """A long action is answered with its job."""
    async with connected(agent) as wire:
        assert (await message(wire, "refuse", "lunch"))["error"] == "Not now: lunch."
        assert await message(wire, "count", 3) == {"job": "job-1"}
        assert wire.data_of("server-message")[-1]["result"] == 3


async def test_a_value_that_the_action_refuses_has_its_path_in_the_message() -> None:
    """The action names the argument. Any other path stays."""

    def paths(error: Any) -> list[str]:
        assert error["code"] == "invalid-arguments"
        assert error["error"] == "; ".join(f"{each['path']}: {each['message']}" for each in error["details"])
        return [each["path"] for each in error["details"]]

    async with connected(agent) as wire:
        assert paths(await message(wire, "book", 3)) == ["$.data.d", "$"]
        called = {"service": "bot", "action": "book", "arguments": {"nights": 3}}
        assert paths(await message(wire, "action", called)) == ["$.data.d.arguments.nights", "$"]
        assert paths(await wire.error(wire.call("bot:book", nights=3))) == ["$.data.arguments[0].value", "$"]
        await wire.result(wire.call("bot:book_later", nights=3))
        assert paths(wire.data_of("server-message")[-1]) == ["$.data.arguments[0].value", "$"]
        await message(wire, "book_later", {"nights": 3})
        assert paths(wire.data_of("server-message")[-1]) == ["$.data.d.nights", "$"]


async def test_the_nearest_message_is_suggested() -> None:
    """The suggestion is for a type that no action handles."""
    async with connected(agent) as wire:
        refused = await message(wire, "speek to")
        assert (refused["code"], refused["details"][0]["suggestion"]) == ("unknown-message", "speak to")


async def test_messages_count_against_the_rate() -> None:
    """Messages count like all requests."""
    async with connected(agent, limits=Limits(rate=5, burst=5)) as wire:
        ids = [wire.send("client-message", {"t": "ping"}) for _ in range(12)]
        answers = [await wire.answer(id) for id in ids]
        assert "rate-limited" in [each["data"].get("code") for each in answers]


async def test_a_type_of_its_own_from_a_client_of_0_x_is_refused() -> None:
    """It has no client messages. It can call the action instead."""
    async with connected(agent, version=None) as wire:
        assert (await wire.error(wire.send("keep", 1)))["code"] == "unknown-message"


@pytest.mark.parametrize("type", PROTOCOL_TYPES)
async def test_the_protocol_reads_its_own_types(type: str) -> None:
    """A bot cannot use these types for its messages."""
    async with connected(agent) as wire:
        codes = [each["data"].get("code") for each in wire.answers(wire.send(type, {}))]
        assert "unknown-message" not in codes


@bot(client=["bot:sent", "bot:sent_late", "bot:both"], functions=["bot:called", "bot:both"], public=True)
async def slow_bot(session: Session, /) -> None:
    """A bot whose actions may take long."""


@action(slow_bot, deadline=20)
async def sent() -> None:
    """Only a client can call it."""


@action(slow_bot, deadline=20)
async def called() -> None:
    """Only the LLM can call it, which waits longer."""


@action(slow_bot, deadline=20)
async def both() -> None:
    """A client can call it, and the LLM."""


@action(slow_bot, deadline=20)
async def kept() -> None:
    """Nobody can call it."""


@action(slow_bot, deadline=60)
async def sent_late() -> None:
    """Its deadline is later than every limit."""


async def test_a_deadline_later_than_the_limit_is_logged_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    """Such an action ends earlier than its author wants."""
    async with host_for(slow_bot, limits=Limits(function_seconds=30)):
        pass
    assert [each.partition("()")[0] for each in caplog.messages] == ["sent", "both", "sent_late"]
    problem = "has deadline=20, but the limit deadline ends calls of clients after 9 s. Write "
    assert caplog.messages[0].endswith(f"{problem}long=True, or deadline=9 or less.")
    assert caplog.messages[1].endswith(f"{problem}deadline=9 or less.")
    caplog.clear()
    async with host_for(slow_bot, limits=Limits(deadline=60, function_seconds=10)):
        pass
    assert [each.partition("()")[0] for each in caplog.messages] == ["called", "both"]
    problem = "has deadline=20, but the limit function_seconds ends calls of the LLM after 10 s. Write "
    assert all(each.endswith(f"{problem}deadline=10 or less.") for each in caplog.messages)
