"""The turn loop: streamed answers, interruptions, function calls, failures, and a context that stays valid."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtvi_plugins import LLM, TTS, Grant, ProviderError, Session, bot, converse, roles, service
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text, ToolCall, Usage

from ..fakes import faulty
from ..fakes.conversation import types
from ..fakes.providers import LOOK, WAIT, Fakes, Step, check_conversation
from ..fakes.wire import Wire, connected, settle

pytestmark = pytest.mark.anyio

CLIENT: list[str | Grant] = [
    *"llm:get_context llm:set_context llm:run tts:say tts:interrupt llm.provider".split(),
    Grant("llm:append_to_messages", arguments={"messages": roles("user", "system", "assistant")}),
]


@bot(services={"llm": ["scripted", "other"], "tts": "quiet"}, config=LOOK, client=CLIENT, public=True)
async def talker(session: Session, /, llm: LLM, tts: TTS) -> None:
    """A bot that holds a conversation."""
    await converse(session, llm=llm, tts=tts)


def talking(fakes: Fakes, **how: Any) -> Any:
    """A session with the bot. Its client is ready."""
    return connected(talker, fakes, faulty, **how)


def say(wire: Wire, text: str, **options: Any) -> str:
    """Send text of the user."""
    data: dict[str, Any] = {"content": text, "options": options}
    return wire.send("send-text", data)


async def context(wire: Wire) -> list[dict[str, Any]]:
    """The conversation as the client reads it."""
    messages: list[dict[str, Any]] = (await wire.result(wire.call("llm:get_context")))["messages"]
    check_conversation([{name: each[name] for name in each if name != "interrupted"} for each in messages])
    return messages


def answer_call(wire: Wire, id: str, result: Any, name: str = "look") -> str:
    """Let the client answer the function call."""
    data: dict[str, Any] = {"function_name": name, "tool_call_id": id, "arguments": {}, "result": result}
    return wire.send("llm-function-call-result", data)


HELLO: list[Step] = [Text("Hello "), Text("there. How"), Text(" are you?"), Usage(3, 5, model="small")]


# ---- answering -----------------------------------------------------------------------------------------------------


async def test_an_answer_is_streamed_in_the_documented_order() -> None:
    """Pieces come as the LLM sends them, sentences when they are complete, and the usage at the end."""
    fakes = Fakes(HELLO)
    async with talking(fakes) as wire:
        say(wire, "hi")
        await settle()
        assert types(wire) == [
            "user-llm-text",
            "bot-llm-started",
            "bot-llm-text",
            "bot-llm-text",
            "bot-transcription",
            "bot-output",
            "bot-llm-text",
            "bot-transcription",
            "bot-output",
            "bot-llm-stopped",
            "metrics",
            "bot-turn-ended",
        ]
        assert wire.data_of("bot-turn-ended") == [{"interrupted": False}]
        assert "".join(each["text"] for each in wire.data_of("bot-llm-text")) == "Hello there. How are you?"
        assert [each["text"] for each in wire.data_of("bot-output")] == ["Hello there.", "How are you?"]
        assert [each["segment_id"] for each in wire.data_of("bot-output")] == [1, 2]
        (metrics,) = wire.data_of("metrics")
        assert metrics["tokens"][0]["total_tokens"] == 8
        assert 0 <= metrics["ttfb"][0]["value"] <= metrics["processing"][0]["value"]


async def test_what_was_said_is_remembered_and_shown_to_the_llm() -> None:
    """This is true for each turn."""
    fakes = Fakes(HELLO, [Text("Fine.")])
    async with talking(fakes) as wire:
        for text in ("hi", "and you?"):
            say(wire, text)
            await settle()
        assert [(each["role"], each["content"]) for each in await context(wire)] == [
            ("user", "hi"),
            ("assistant", "Hello there. How are you?"),
            ("user", "and you?"),
            ("assistant", "Fine."),
        ]
        assert [len(each.messages) for each in fakes.requests] == [1, 3]


async def test_text_that_wants_no_answer_is_remembered() -> None:
    """The answer to the next text takes it into account."""
    fakes = Fakes([Text("Yes.")])
    async with talking(fakes) as wire:
        say(wire, "I am Ada.", run_immediately=False)
        await settle()
        assert fakes.requests == []
        say(wire, "Know me?")
        await settle()
        assert [each["content"] for each in fakes.requests[0].messages] == ["I am Ada.", "Know me?"]


async def test_what_is_to_be_said_is_said_and_remembered() -> None:
    """The LLM is not asked."""
    fakes = Fakes()
    async with talking(fakes) as wire:
        await wire.result(wire.call("tts:say", text="One. Two."))
        await settle()
        assert [each["text"] for each in wire.data_of("bot-output")] == ["One.", "Two."]
        assert await context(wire) == [{"role": "assistant", "content": "One. Two."}]
        assert fakes.requests == []


APOLOGY = ["I am sorry, something went wrong.", "Please try again."]
EMPTY: list[list[Step]] = [[], [Usage(3, 0)], [Text("")], [Text(" "), Text("\n")]]


@pytest.mark.parametrize("empty", EMPTY, ids=str)
async def test_an_llm_that_answers_nothing_is_asked_once_more(empty: list[Step]) -> None:
    """Otherwise the user would wait in vain."""
    fakes = Fakes(empty, HELLO)
    async with talking(fakes) as wire:
        say(wire, "hi")
        await settle()
        assert len(fakes.requests) == 2
        assert wire.data_of("error") == []
        assert wire.data_of("bot-llm-started") == wire.data_of("bot-llm-stopped") == [None]
        assert [each["content"] for each in await context(wire)] == ["hi", "Hello there. How are you?"]


@pytest.mark.parametrize("empty", EMPTY, ids=str)
async def test_an_llm_that_answers_nothing_twice_has_failed(empty: list[Step]) -> None:
    """The client gets an error and shows an apology. The conversation continues."""
    fakes = Fakes(empty, empty, [Text("Yes?")])
    async with talking(fakes) as wire:
        say(wire, "hi")
        await settle()
        (error,) = wire.data_of("error")
        assert (error["code"], error["fatal"], error["retryable"]) == ("provider-failed", False, True)
        assert error["message"] == "The LLM gave no answer."
        assert [each["text"] for each in wire.data_of("bot-output")] == APOLOGY
        assert [each["content"] for each in await context(wire)] == ["hi", " ".join(APOLOGY)]
        say(wire, "still there?")
        await settle()
        assert (await context(wire))[-1]["content"] == "Yes?"


async def test_an_llm_that_has_nothing_to_say_to_a_result_is_asked_once_more() -> None:
    """The request has the result. The function is not called again."""
    fakes = Fakes([ToolCall("a", "look", {})], [], [Text("Seen.")])
    async with talking(fakes) as wire:
        say(wire, "look")
        await settle()
        answer_call(wire, "a", 1)
        await settle()
        assert len(wire.data_of("llm-function-call-in-progress")) == 1
        assert [each["role"] for each in fakes.requests[2].messages] == ["user", "assistant", "tool"]
        assert (await context(wire))[-1]["content"] == "Seen."


# ---- interrupting --------------------------------------------------------------------------------------------------


async def test_an_interrupted_answer_is_remembered_as_far_as_it_was_sent() -> None:
    """It is marked as interrupted, which providers do not see. The vendor's stream is closed."""
    fakes = Fakes([Text("Once upon "), Text("a time"), WAIT], [Text("Yes?")])
    async with talking(fakes) as wire:
        say(wire, "A story!")
        await settle()
        assert await wire.result(wire.call("tts:interrupt")) is True
        await settle()
        ended = ["bot-interrupted", "bot-llm-stopped", "metrics", "bot-turn-ended"]
        assert types(wire, "action-response")[-4:] == ended
        assert wire.data_of("bot-turn-ended") == [{"interrupted": True}]
        assert fakes.ended["llm"] == 1
        sent = "".join(each["text"] for each in wire.data_of("bot-llm-text"))
        assert (await context(wire))[-1] == {"role": "assistant", "content": sent, "interrupted": True}
        say(wire, "Stop.")
        await settle()
        assert fakes.requests[1].messages[1] == {"role": "assistant", "content": "Once upon a time"}


async def test_writing_interrupts_what_is_being_said() -> None:
    """Text that needs no answer does not interrupt."""
    fakes = Fakes([Text("Once upon "), WAIT], [Text("Yes?")])
    async with talking(fakes) as wire:
        say(wire, "A story!")
        await settle()
        say(wire, "By the way.", run_immediately=False)
        await settle()
        assert wire.data_of("bot-interrupted") == []
        say(wire, "Stop.")
        await settle()
        assert [each["content"] for each in await context(wire)] == [
            "A story!",
            "Once upon ",
            "By the way.",
            "Stop.",
            "Yes?",
        ]


async def test_an_answer_that_was_interrupted_before_it_began_leaves_nothing() -> None:
    """The user's text stays."""
    fakes = Fakes([WAIT])
    async with talking(fakes) as wire:
        say(wire, "hi")
        await settle()
        await wire.result(wire.call("tts:interrupt"))
        await settle()
        assert await context(wire) == [{"role": "user", "content": "hi"}]


# ---- function calls ------------------------------------------------------------------------------------------------

TWO_CALLS: list[Step] = [Text("Let me see. "), ToolCall("a", "look", {"at": 1}), ToolCall("b", "look", {"at": 2})]


async def test_functions_are_called_at_once_and_the_llm_reads_their_results() -> None:
    """The results are in the order of the calls, whichever was answered first."""
    fakes = Fakes(TWO_CALLS, [Text("Done.")])
    async with talking(fakes) as wire:
        say(wire, "look")
        await settle()
        asked = wire.data_of("llm-function-call-in-progress")
        assert [(each["tool_call_id"], each["arguments"]) for each in asked] == [("a", {"at": 1}), ("b", {"at": 2})]
        answer_call(wire, "b", {"seen": "two"})
        await settle()
        assert len(fakes.requests) == 1
        answer_call(wire, "a", "one")
        await settle()
        messages = fakes.requests[1].messages
        assert [each["role"] for each in messages] == ["user", "assistant", "tool", "tool"]
        assert messages[1]["content"] == "Let me see. "
        assert [each["content"] for each in messages[2:]] == ["one", '{"seen": "two"}']
        assert (await context(wire))[-1]["content"] == "Done."
        ends = wire.data_of("llm-function-call-stopped")
        assert [(each["tool_call_id"], each["cancelled"]) for each in ends] == [("b", False), ("a", False)]


async def test_a_function_call_is_answered_once() -> None:
    """A second result is refused, and so is the result of an unknown call."""
    fakes = Fakes([ToolCall("a", "look", {})], [WAIT])
    async with talking(fakes) as wire:
        say(wire, "look")
        await settle()
        answer_call(wire, "a", 1)
        second, stray = answer_call(wire, "a", 2), answer_call(wire, "c", 3)
        for id in (second, stray):
            assert (await wire.error(id))["code"] == "unknown-function-call"
        assert fakes.requests[1].messages[-1]["content"] == "1"


async def test_a_function_that_nobody_runs_is_cancelled() -> None:
    """The LLM reads this and answers. A later result is refused."""
    fakes = Fakes([ToolCall("a", "look", {})], [Text("Sorry.")])
    async with talking(fakes) as wire:
        say(wire, "look")
        await settle()
        wire.clock.advance(30.0)
        await settle()
        assert "did not answer the call of 'look'" in str(fakes.requests[1].messages[-1]["content"])
        (end,) = wire.data_of("llm-function-call-stopped")
        assert end["cancelled"] is True
        assert (await wire.error(answer_call(wire, "a", 1)))["code"] == "unknown-function-call"
        assert (await context(wire))[-1]["content"] == "Sorry."


async def test_an_interrupted_function_call_has_a_result_all_the_same() -> None:
    """The result says what is known. Calls that were answered keep theirs. The next turn continues from there."""
    fakes = Fakes(TWO_CALLS, [Text("Yes?")])
    async with talking(fakes) as wire:
        say(wire, "look")
        await settle()
        answer_call(wire, "a", "one")
        await settle()
        say(wire, "Stop.")
        await settle()
        messages = fakes.requests[1].messages
        assert [each["role"] for each in messages] == ["user", "assistant", "tool", "tool", "user"]
        assert messages[2]["content"] == "one"
        assert "may or may not have taken effect" in str(messages[3]["content"])
        ends = {each["tool_call_id"]: each["cancelled"] for each in wire.data_of("llm-function-call-stopped")}
        assert ends == {"a": False, "b": True}
        assert (await wire.error(answer_call(wire, "b", "two")))["code"] == "unknown-function-call"


@pytest.mark.parametrize(("version", "ask"), [(None, "llm-function-call"), ("1.0.0", "llm-function-call")])
async def test_an_older_client_is_asked_in_its_own_spelling(version: str | None, ask: str) -> None:
    """It is asked once, with the names of its generation."""
    fakes = Fakes([ToolCall("a", "look", {"at": 1})], [Text("Done.")])
    async with talking(fakes, version=version) as wire:
        await wire.result(wire.call("llm:append_to_messages", messages=[{"role": "user", "content": "look"}]))
        await wire.result(wire.call("llm:run"))
        await settle()
        (asked,) = wire.data_of(ask)
        assert asked == {"function_name": "look", "tool_call_id": "a", "args": {"at": 1}}
        assert wire.data_of("llm-function-call-in-progress") == []
        answer_call(wire, "a", 1)
        await settle()
        assert (await context(wire))[-1]["content"] == "Done."


@pytest.mark.parametrize("text", [" \n", "\ufeff", "\u200b\u200d", "\u00a0"])
async def test_an_answer_that_shows_nothing_is_empty(text: str) -> None:
    """The LLM is asked once more. The empty answer is not remembered."""
    fakes = Fakes([Text(text)], [Text("Yes?")])
    async with talking(fakes) as wire:
        say(wire, "hi")
        await settle()
        assert [each["content"] for each in await context(wire)] == ["hi", "Yes?"]


LONG = "x" * 20_000_000


@pytest.mark.parametrize(
    "piece",
    [ToolCall(LONG, "look", {}), ToolCall("1", LONG, {}), ToolCall("1", "look", {"x": LONG}), Usage(model=LONG)],
    ids=["id", "name", "argument", "model"],
)
async def test_the_conversation_continues_after_a_piece_of_any_length(piece: LLMPiece) -> None:
    """A vendor may send a piece that is too long for the client."""
    fakes = Fakes([Text("Well."), piece], [Text("Yes?")], [Text("Yes?")])
    async with talking(fakes) as wire:
        say(wire, "hi")
        await settle()
        say(wire, "hello?")
        await settle()
        assert wire.data_of("bot-output")[-1]["text"] == "Yes?"
        assert wire.data_of("error") == []


async def test_an_answer_that_calls_too_many_functions_has_the_first_ones_called(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The LLM reads that the others were dropped, and can call them in its next answer."""
    fakes = Fakes([ToolCall(f"call-{number}", "look", {"at": number}) for number in range(500)], [Text("Done.")])
    async with talking(fakes) as wire:
        say(wire, "look")
        await settle()
        called = wire.data_of("llm-function-call-in-progress")
        assert [each["arguments"]["at"] for each in called] == [*range(64)]
        for each in called:
            answer_call(wire, each["tool_call_id"], "seen")
        await settle()
        *_, last, refused = fakes.requests[1].messages
        assert last["content"] == "seen"
        assert "At most 64 functions can be called at once." in str(refused["content"])
        assert [each["role"] for each in fakes.requests[1].messages].count("tool") == 65
        assert (await context(wire))[-1]["content"] == "Done."
    assert "called more than 64 functions in one answer" in caplog.text


async def test_an_llm_that_calls_functions_for_ever_is_stopped(caplog: pytest.LogCaptureFixture) -> None:
    """The turn ends after eight answers. The conversation continues."""
    calls = [[ToolCall(f"call-{number}", "look", {})] for number in range(20)]
    fakes = Fakes(*calls)
    async with talking(fakes) as wire:
        say(wire, "look")
        for number in range(20):
            await settle()
            answer_call(wire, f"call-{number}", number)
        await settle()
        assert 1 < len(fakes.requests) < 20
        assert "called functions in" in caplog.text
        assert [each["message"] for each in wire.data_of("error")] == ["The LLM gave no answer."]
        fakes.answers[:] = [[Text("Yes?")]]
        say(wire, "hi")
        await settle()
        assert (await context(wire))[-1]["content"] == "Yes?"


async def test_a_turn_ends_once_after_all_its_answers() -> None:
    """The LLM is asked again with the result of a function. Only then the client gets the end of the turn."""
    fakes = Fakes([Text("Let me look."), ToolCall("1", "look", {})], [Text("Found it.")])
    async with talking(fakes) as wire:
        say(wire, "hi")
        await settle()
        assert wire.data_of("bot-turn-ended") == []
        result: dict[str, Any] = {"function_name": "look", "tool_call_id": "1", "arguments": {}, "result": "ok"}
        wire.send("llm-function-call-result", result)
        await settle()
        assert types(wire).count("bot-llm-stopped") == 2
        assert types(wire)[-1] == "bot-turn-ended"
        assert len(wire.data_of("bot-turn-ended")) == 1


# ---- failing providers, and those that are replaced ----------------------------------------------------------------


async def test_a_provider_that_fails_ends_its_turn_and_no_more() -> None:
    """The client gets an error that is not fatal. The text that came before is remembered."""
    fakes = Fakes([Text("Well "), ProviderError("acme", "rate")], [Text("Yes?")])
    async with talking(fakes) as wire:
        say(wire, "hi")
        await settle()
        (error,) = wire.data_of("error")
        assert (error["fatal"], error["code"], error["retryable"]) == (False, "provider-failed", True)
        assert error["message"] == "acme is receiving too many requests."
        assert types(wire)[-4:] == ["bot-llm-stopped", "metrics", "error", "bot-turn-ended"]
        assert (await context(wire))[-1] == {"role": "assistant", "content": "Well ", "interrupted": True}
        say(wire, "still there?")
        await settle()
        assert (await context(wire))[-1]["content"] == "Yes?"


async def test_a_provider_that_raises_something_of_its_own_ends_its_turn_and_no_more() -> None:
    """The text of the exception stays in the log. A bug of one provider does not end the conversation."""
    fakes = Fakes([Text("Well "), KeyError("what a vendor said")], [Text("Yes?")])
    async with talking(fakes) as wire:
        say(wire, "hi")
        await settle()
        (error,) = wire.data_of("error")
        assert (error["fatal"], error["code"]) == (False, "provider-failed")
        assert "vendor" not in json.dumps(wire.received)
        say(wire, "still there?")
        await settle()
        assert (await context(wire))[-1]["content"] == "Yes?"


async def test_a_provider_that_fails_after_it_called_functions_calls_none() -> None:
    """A call that was not made is not in the context."""
    fakes = Fakes([Text("Well "), ToolCall("a", "look", {}), ProviderError("acme", "timeout")], [Text("Yes?")])
    async with talking(fakes) as wire:
        say(wire, "hi")
        await settle()
        assert wire.data_of("llm-function-call-in-progress") == []
        say(wire, "still there?")
        await settle()
        assert [each["content"] for each in await context(wire)] == ["hi", "Well ", "still there?", "Yes?"]


async def test_a_turn_ends_with_the_provider_that_it_began_with() -> None:
    """A switch within the turn is for the next turn. The context stays."""
    fakes = Fakes([ToolCall("a", "look", {})], [Text("Seen.")], [Text("Hello from another.")])
    async with talking(fakes) as wire:
        say(wire, "look")
        await settle()
        answer = await wire.answer(wire.update(llm={"provider": "other"}))
        assert answer["data"]["applies"] == "next-turn"
        answer_call(wire, "a", 1)
        await settle()
        say(wire, "and now?")
        await settle()
        assert fakes.llms == ["scripted", "scripted", "other"]
        assert [each["role"] for each in fakes.requests[2].messages] == [
            *["user", "assistant", "tool"],
            *["assistant", "user"],
        ]


async def test_a_switch_that_interrupts_takes_effect_at_once() -> None:
    """The present answer is interrupted."""
    fakes = Fakes([Text("Once "), WAIT], [Text("Hello from another.")])
    async with talking(fakes) as wire:
        say(wire, "A story!")
        await settle()
        answer = await wire.answer(wire.update(interrupt=True, llm={"provider": "other"}))
        assert answer["data"]["applies"] == "now"
        say(wire, "hi")
        await settle()
        assert fakes.llms == ["scripted", "other"]
        assert (await context(wire))[1]["interrupted"] is True


async def test_a_switch_does_not_interrupt_the_answer_to_a_later_text() -> None:
    """The text comes while the other provider is opened. The provider serves from the next turn on."""
    fakes = Fakes([Text("Once "), WAIT], [Text("Hello "), WAIT], [Text("Hello from another.")])
    async with talking(fakes) as wire:
        say(wire, "A story!")
        await settle()
        switch = wire.update(interrupt=True, llm={"provider": "other"})
        say(wire, "hi")
        assert (await wire.answer(switch))["data"]["applies"] == "next-turn"
        assert types(wire).count("bot-interrupted") == 1  # the text has interrupted the story
        say(wire, "and now?")
        await settle()
        assert fakes.llms == ["scripted", "scripted", "other"]


# ---- what others add while a turn runs -----------------------------------------------------------------------------


async def test_a_context_that_was_replaced_forgets_the_turn_that_runs() -> None:
    """Its results are not added, because their calls are not in the context."""
    fakes = Fakes([ToolCall("a", "look", {})], [Text("Hm.")], [Text("Yes?")])
    async with talking(fakes) as wire:
        say(wire, "look")
        await settle()
        await wire.result(wire.call("llm:set_context", messages=[{"role": "user", "content": "anew"}]))
        answer_call(wire, "a", 1)
        await settle()
        assert [each["content"] for each in await context(wire)][:1] == ["anew"]
        say(wire, "hi")
        await settle()
        await context(wire)


async def test_what_is_added_while_functions_run_comes_after_their_results() -> None:
    """Vendors accept nothing between a call and its result."""
    fakes = Fakes([ToolCall("a", "look", {})], [Text("Seen.")])
    async with talking(fakes) as wire:
        say(wire, "look")
        await settle()
        said = [{"role": "system", "content": "Be brief."}]
        await wire.result(wire.call("llm:append_to_messages", messages=said))
        answer_call(wire, "a", 1)
        await settle()
        assert [each["role"] for each in await context(wire)] == ["user", "assistant", "tool", "assistant", "system"]


# ---- whatever happens, the context is a conversation ---------------------------------------------------------------

answers = st.lists(st.sampled_from([Text("Well. "), Text("So"), Usage(1, 1), WAIT, "call", "call", "fail"]), max_size=4)
happenings = st.lists(
    st.sampled_from(["say", "quietly", "interrupt", "answer", "answer", "append", "replace", "late", "switch", "run"]),
    min_size=1,
    max_size=12,
)


def written(answers: list[list[Any]]) -> list[list[Step]]:
    """Answers with calls that have their own ids, and with failures."""
    count = iter(range(1_000))
    return [
        [
            ToolCall(f"call-{next(count)}", "look", {})
            if step == "call"
            else ProviderError("acme", "rate")
            if step == "fail"
            else step
            for step in answer
        ]
        for answer in answers
    ]


async def live(wire: Wire, happening: str) -> None:
    """Let the client do one thing."""
    asked = [each["tool_call_id"] for each in wire.data_of("llm-function-call-in-progress")]
    ended = [each["tool_call_id"] for each in wire.data_of("llm-function-call-stopped")]
    match happening:
        case "say" | "quietly":
            say(wire, happening, run_immediately=happening == "say")
        case "interrupt":
            wire.call("tts:interrupt")
        case "answer":
            for id in [each for each in asked if each not in ended][:1]:
                answer_call(wire, id, {"seen": id})
        case "append":
            said = [{"role": "system", "content": "Be brief."}]
            wire.call("llm:append_to_messages", messages=said, run_immediately=False)
        case "replace":
            wire.call("llm:set_context", messages=[{"role": "user", "content": "anew"}])
        case "late":
            wire.clock.advance(31.0)
        case "switch":
            wire.update(llm={"provider": "other"})
        case _:
            wire.call("llm:run")


async def check_life(script_of: list[list[Any]], happens: list[str]) -> None:
    """Take all steps, and check the context after each."""
    fakes = Fakes(*written(script_of))
    async with talking(fakes) as wire:
        for each in happens:
            await live(wire, each)
            await settle()
            await context(wire)
        assert not wire.connection.closed, wire.data_of("error")


@pytest.mark.slow
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow], database=None)
@given(script_of=st.lists(answers, max_size=6), happens=happenings)
def test_the_context_is_always_a_conversation(script_of: list[list[Any]], happens: list[str]) -> None:
    """All requests to the LLM, and the context, are valid in every conversation."""
    anyio.run(check_life, script_of, happens)


def test_an_invalid_conversation_is_noticed() -> None:
    """This shows that the test before finds mistakes."""
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": json.dumps({})}}
    asked = {"role": "assistant", "content": None, "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": "a", "content": ""}
    check_conversation([asked, result])
    for wrong in ([asked], [result], [asked, {"role": "user", "content": "hi"}, result], [asked, result, result]):
        with pytest.raises(AssertionError):
            check_conversation(wrong)


@service("llm", "mistaken")
@asynccontextmanager
async def mistaken_llm() -> AsyncGenerator[Any]:
    """A provider that yields a str in place of a piece, a common mistake."""

    class Mistaken:
        async def respond(self, request: LLMRequest, /) -> AsyncGenerator[Any]:
            yield "hi"

    yield Mistaken()


@service("llm", "whole")
@asynccontextmanager
async def whole_llm() -> AsyncGenerator[Any]:
    """A provider that returns the answer instead of yielding it."""

    class Whole:
        def respond(self, request: LLMRequest, /) -> Any:
            return ["hi"]

    yield Whole()


@bot(services={"llm": ["mistaken", "whole"]}, public=True)
async def mistaken_bot(session: Session, /, llm: LLM) -> None:
    """A bot with such a provider."""
    await converse(session, llm=llm)


@pytest.mark.parametrize(
    ("provider", "found", "place"),
    [
        ("mistaken", "an LLM's respond() yielded str", "in mistaken_llm.<locals>.Mistaken.respond() ("),
        ("whole", "an LLM's respond() yielded list", "in whole_llm.<locals>.Whole.respond() ("),
    ],
)
async def test_an_invalid_piece_is_reported_to_the_author(
    caplog: pytest.LogCaptureFixture, provider: str, found: str, place: str
) -> None:
    """The report has the line, and says what to write. The client is told that the provider failed."""
    async with connected(mistaken_bot, body={"services": {"llm": provider}}) as wire:
        say(wire, "hi")
        await settle()
        assert [each["code"] for each in wire.data_of("error")] == ["provider-failed"]
    assert f"{found}, which is not a piece of its stream: yield Text(…)" in caplog.text
    assert place in caplog.text
