"""LLMs and TTSs that fail or hang: the bot apologises, and the conversation continues."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable
from typing import Any
from unittest.mock import ANY

import anyio
import pytest

from rtvi_plugins import ProviderError
from rtvi_plugins.kinds import (
    LLMPiece,
    LLMRequest,
    Text,
    Thought,
    ToolCall,
    TTSPiece,
    TTSRequest,
    Usage,
)
from rtvi_plugins.voice import bot_turn

from ..fakes.conversation import APOLOGY, context, failures, later, said, spoken, wait, write
from ..fakes.providers import Fakes, samples, spell

pytestmark = pytest.mark.anyio


async def test_a_provider_that_fails_for_good_is_apologised_for() -> None:
    """The user must not wait for an answer in vain."""
    fakes = Fakes([ProviderError("scripted", "auth")])
    async with fakes.session() as wire:
        wire.send("send-text", {"content": "go", "options": {}})
        await wait(wire, 6.0)
        assert spoken(wire).startswith("I am sorry")
        assert [each["code"] for each in wire.data_of("error")] == ["provider-failed"]


async def test_a_failure_is_logged_once_a_minute_with_its_session(caplog: pytest.LogCaptureFixture) -> None:
    """The operator learns of it, and a client that asks again and again does not fill the log."""
    fakes = Fakes(*[[ProviderError("scripted", "auth")] for _ in range(3)])
    async with fakes.session() as wire:
        for _ in range(2):
            await write(wire)
            await wait(wire, 6.0)
        (record,) = caplog.records
        assert record.getMessage() == f"session {vars(record)['session']}: scripted refused its key (auth)"
        assert vars(record)["code"] == "provider-failed"
        wire.clock.advance(60.0)
        await write(wire)
        assert caplog.records[-1].getMessage().endswith("(auth) (1 more like this since the last such line)")


async def test_a_failure_that_passes_is_not_noticed() -> None:
    """If the failure may be temporary, the LLM is asked a second time."""
    fakes = Fakes([ProviderError("scripted", "rate")], [Text("Fine.")])
    async with fakes.session() as wire:
        wire.send("send-text", {"content": "go", "options": {}})
        await wait(wire, 1.0)
        assert await said(wire) == [("user", "go"), ("assistant", "Fine.")]
        assert wire.data_of("error") == []


async def test_a_tts_that_fails_leaves_the_text() -> None:
    """The client shows the text, so it counts as said."""
    fakes = Fakes([Text("Fine.")])
    fakes.errors["tts"] = ProviderError("spell", "quota")
    async with fakes.session() as wire:
        wire.send("send-text", {"content": "go", "options": {}})
        await wait(wire, 1.0)
        assert await said(wire) == [("user", "go"), ("assistant", "Fine.")]
        assert wire.heard == []
        assert [each["code"] for each in wire.data_of("error")] == ["provider-failed"]


async def test_a_tts_without_a_voice_for_a_text_is_reported_and_speaks_the_next_one() -> None:
    """As for a text in a script that its voice cannot read. It gets each text once, and its usage is reported."""
    requested: list[str] = []

    async def speak(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
        async for text in request.text:
            requested.append(text)
            if text.isascii():
                yield spell(text)

    fakes = Fakes([Text("你好。"), ToolCall("c1", "unknown", {})], [Text("Fine.")], tts=speak)
    async with fakes.session() as wire:
        await write(wire)
        await wait(wire, 1.0)
        assert await said(wire) == [("user", "go"), ("assistant", "你好。"), ("tool", ANY), ("assistant", "Fine.")]
        assert spoken(wire) == "Fine."
        assert failures(wire) == ["The TTS gave no answer."]
        assert requested == ["你好。", "Fine."]
        characters = [each["characters"][0]["value"] for each in wire.data_of("metrics") if "characters" in each]
        assert characters == [3, 5]


async def test_an_llm_that_hangs_is_given_up_and_the_bot_continues() -> None:
    """The time is half a minute. The client gets an error of the category timeout, and the bot apologises."""

    async def respond(request: LLMRequest) -> AsyncGenerator[LLMPiece]:
        if request.messages[-1]["content"] == "go":
            await anyio.sleep_forever()
        yield Text("Fine.")

    fakes = Fakes(llm=respond)
    async with fakes.session() as wire:
        await write(wire)
        await later(wire, 29.0)
        assert failures(wire) == []
        await later(wire, 40.0)
        assert failures(wire) == [str(ProviderError("The LLM", "timeout"))]
        assert spoken(wire).rstrip() == APOLOGY
        await write(wire, "again")
        await later(wire, 2.0)
        assert (await said(wire))[-2:] == [("user", "again"), ("assistant", "Fine.")]


@pytest.mark.parametrize("beginning", ["", "One "])
async def test_a_tts_that_hangs_is_given_up_and_the_bot_continues(beginning: str) -> None:
    """The client has shown the text, so it counts as said. The next answer is spoken."""

    async def speak(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
        async for text in request.text:
            if not text.startswith("Hello"):
                if beginning:
                    yield spell(beginning)
                await anyio.sleep_forever()
            yield spell(text)

    fakes = Fakes([Text("One thing.")], tts=speak)
    async with fakes.session() as wire:
        await write(wire)
        await later(wire, 40.0)
        assert failures(wire) == []
        await later(wire, 60.0)
        assert failures(wire) == [str(ProviderError("The TTS", "timeout"))]
        wire.call("tts:say", text="Hello?")
        await later(wire, 2.0)
        assert spoken(wire).endswith("Hello?")
        assert await said(wire) == [("user", "go"), ("assistant", "One thing."), ("assistant", "Hello?")]


async def test_an_llm_that_fails_in_the_middle_is_heard_as_far_as_it_came() -> None:
    """The apology follows. The context has whole sentences only, because the rest is not spoken."""
    fakes = Fakes([Text("It is noon. Sleep well. And "), ProviderError("scripted", "unavailable")])
    async with fakes.session() as wire:
        await write(wire)
        await wait(wire, 5.0)
        assert spoken(wire).split() == f"It is noon. Sleep well. {APOLOGY}".split()
        assert len(failures(wire)) == 1
        (_, answer, apology) = await context(wire)
        assert answer["content"] == "It is noon. Sleep well."
        assert answer["interrupted"] is True
        assert apology["content"] == APOLOGY


@pytest.mark.parametrize("piece", [Text, Thought])
async def test_an_answer_without_end_is_ended(
    piece: Callable[[str], LLMPiece], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The text until then stays. Thoughts count as well."""
    monkeypatch.setattr(bot_turn, "_LONGEST_COMPLETION", 60)

    async def endless(request: LLMRequest) -> AsyncGenerator[LLMPiece]:
        yield Text("Well. ")
        while True:
            await anyio.lowlevel.checkpoint()
            yield piece("And so on. ")

    async with Fakes(llm=endless).session() as wire:
        await write(wire)
        await wait(wire, 6.0)
        assert [each["code"] for each in wire.data_of("error")] == ["provider-failed"]
        text = "".join(each["text"] for each in wire.data_of("bot-llm-text"))
    assert text.startswith("Well. ")
    assert len(text) <= 60
    assert "an LLM wrote more than 60 characters in one answer; it was stopped" in caplog.messages


async def test_an_llm_that_answers_nothing_is_apologised_for() -> None:
    """In a spoken conversation, an empty answer is a failure."""
    fakes = Fakes([Text(" ")], [], [Text("Fine.")])
    async with fakes.session() as wire:
        await write(wire)
        await wait(wire, 5.0)
        assert len(fakes.requests) == 2
        assert len(failures(wire)) == 1
        assert await said(wire) == [("user", "go"), ("assistant", APOLOGY)]


@pytest.mark.parametrize("arguments", [{"x": {1, 2}}, None, ["x"]], ids=str)
async def test_a_call_with_arguments_that_are_no_json_object_is_a_failure_of_the_provider(arguments: Any) -> None:
    """The session continues."""
    fakes = Fakes([Text("Let me look. "), ToolCall("1", "look", arguments)], [Text("Fine.")])
    async with fakes.session() as wire:
        await write(wire)
        await wait(wire, 5.0)
        assert len(failures(wire)) == 1
        assert wire.data_of("llm-function-call-in-progress") == []
        await write(wire, "again")
        await wait(wire, 1.0)
        assert (await said(wire))[-1] == ("assistant", "Fine.")


@pytest.mark.parametrize(
    "call",
    [
        ToolCall("1", "look", {"for": "\ud800"}),
        ToolCall("1", "look", {"for": math.nan}),
        ToolCall("1", "look\ud800", {}),
        ToolCall("1", "look", {}, "half a character: \ud800"),
    ],
    ids=["arguments", "number", "name", "problem"],
)
async def test_a_function_call_that_json_cannot_carry_is_answered_with_an_error(call: ToolCall) -> None:
    """The LLM reads why, and can call again. Neither the session nor the provider has failed."""
    fakes = Fakes([call], [Text("Fine.")])
    async with fakes.session() as wire:
        await write(wire)
        await wait(wire, 1.0)
        assert failures(wire) == []
        assert wire.data_of("llm-function-call-started") == []
        assert '"error"' in str(fakes.requests[1].messages[-1]["content"])


def test_usage_and_calls_of_other_types_are_refused_where_they_are_made() -> None:
    """The error is raised in the provider, which has made the mistake."""
    for wrong in (
        lambda: Usage(prompt_tokens="3"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        lambda: Usage(model=object()),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        lambda: ToolCall("1", None, {}),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ):
        with pytest.raises(TypeError):
            wrong()


async def test_a_tts_that_makes_all_at_once_is_not_blamed_for_our_waiting() -> None:
    """Eighty seconds of audio in one piece take longer to play than a TTS may be silent."""

    async def synthesize(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
        async for _ in request.text:
            yield samples(100, 80.0)

    fakes = Fakes([Text("One long thing. Two.")], tts=synthesize)
    async with fakes.session() as wire:
        await write(wire)
        await later(wire, 80.0)
        assert failures(wire) == []
