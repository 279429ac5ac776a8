"""Data that vendors want back: thoughts, and extras of calls. Also what STTs and LLMs report beside the text."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from rtvi_plugins.kinds import (
    LLMPiece,
    LLMRequest,
    STTPiece,
    STTRequest,
    Text,
    Thought,
    ToolCall,
    Transcript,
    TTSPiece,
    TTSRequest,
    Usage,
    Word,
    thoughts_of,
)
from rtvi_plugins.voice import TurnTaking, UserTurn

from ..fakes.conversation import context, failures, said, shown, silence, speak, spoken, texts, wait, write
from ..fakes.providers import Fakes, spell
from ..fakes.wire import Wire, settle

pytestmark = pytest.mark.anyio

SIGNED: dict[str, Any] = {"signature": "c2lnbg=="}
RESULT: dict[str, Any] = {"function_name": "look", "tool_call_id": "1", "arguments": {}, "result": "ok"}


class Vendor:
    """An LLM that gives these answers, and keeps its requests."""

    def __init__(self, *answers: list[LLMPiece]) -> None:
        self.answers = list(answers)
        self.requests = list[LLMRequest]()

    async def respond(self, request: LLMRequest) -> AsyncGenerator[LLMPiece]:
        self.requests.append(request)
        for each in self.answers.pop(0):
            yield each


async def look(wire: Wire) -> None:
    """Let the client run the function that the LLM has called."""
    await write(wire)
    await settle()
    wire.send("llm-function-call-result", RESULT)
    await wait(wire, 3.0)


async def test_thoughts_are_neither_shown_nor_spoken() -> None:
    """Only the answer is shown and spoken."""
    fakes = Fakes([Thought("Hm, they want "), Thought("the time."), Text("It is noon.")])
    async with fakes.session() as wire:
        await write(wire)
        await wait(wire, 2.0)
        assert shown(wire) == ["It is noon."]
        assert spoken(wire).strip() == "It is noon."
        assert "Hm" not in json.dumps(wire.received)


async def test_the_vendor_gets_its_thoughts_and_extras_back_in_the_same_turn() -> None:
    """A vendor refuses the result of a call without the signature of the call."""
    vendor = Vendor(
        [Thought("I must "), Thought("look.", SIGNED), ToolCall("1", "look", {}, extra=SIGNED)], [Text("Found it.")]
    )
    fakes = Fakes(llm=vendor.respond)
    async with fakes.session() as wire:
        await look(wire)
    message = vendor.requests[1].messages[1]
    assert thoughts_of(message) == [Thought("I must look.", SIGNED)]
    assert [each["extra"] for each in message.get("tool_calls", [])] == [SIGNED]


async def test_the_vendor_gets_them_back_in_later_turns() -> None:
    """They are in the context. After an `extra`, another thought begins."""
    vendor = Vendor(
        [Thought("One.", SIGNED), Thought("Two."), Text("Noon.")],
        [ToolCall("1", "look", {}, extra=SIGNED)],
        [Text("A.")],
    )
    fakes = Fakes(llm=vendor.respond)
    async with fakes.session() as wire:
        await write(wire)
        await wait(wire, 3.0)
        await look(wire)
    assert thoughts_of(vendor.requests[1].messages[1]) == [Thought("One.", SIGNED), Thought("Two.")]
    assert vendor.requests[2].messages[3].get("tool_calls", [{}])[0]["extra"] == SIGNED


async def test_another_vendor_gets_the_conversation_without_them() -> None:
    """It could not read them, and some vendors refuse unknown fields. The other LLM checks its messages."""
    vendor = Vendor(
        [Thought("Hm.", SIGNED), ToolCall("1", "look", {}, extra=SIGNED)], [Thought("So."), Text("Found it.")]
    )
    fakes = Fakes([Text("Yes.")], llm=vendor.respond)
    async with fakes.session() as wire:
        await look(wire)
        to_other = {"service": "llm", "options": [{"name": "provider", "value": "other"}]}
        wire.send("update-config", {"config": [to_other]})
        await settle()
        await write(wire)
        await wait(wire, 2.0)
    assert fakes.llms == ["other"]
    assert "signature" not in json.dumps(list(fakes.requests[0].messages))


async def test_clients_do_not_get_them() -> None:
    """A model's reasoning may contain text that the user must not read."""
    vendor = Vendor([Thought("Hm.", SIGNED), ToolCall("1", "look", {}, extra=SIGNED)], [Thought("So."), Text("Done.")])
    fakes = Fakes(llm=vendor.respond)
    async with fakes.session() as wire:
        await look(wire)
        found = await context(wire)
        assert [each["role"] for each in found] == ["user", "assistant", "tool", "assistant"]
        assert not [each for each in ("Hm.", "So.", "signature") if each in json.dumps(found)]


async def test_an_interrupted_answer_has_no_thoughts() -> None:
    """Vendors refuse incomplete thoughts."""
    fakes = Fakes([Thought("Hm."), Text("It is noon, I believe. "), "wait"], [Text("Yes.")])
    async with fakes.session() as wire:
        await write(wire)
        await wait(wire, 0.7)
        wire.call("tts:interrupt")
        await settle()
        await write(wire)
        await wait(wire, 1.0)
    assert fakes.requests[1].messages[1]["content"]
    assert "thoughts" not in fakes.requests[1].messages[1]


async def test_only_thoughts_are_no_answer() -> None:
    """The user is told, as after an empty answer."""
    fakes = Fakes([Thought("Hm.")], [Thought("Hm.")])
    async with fakes.session() as wire:
        await write(wire)
        await wait(wire, 1.0)
        assert failures(wire)


@pytest.mark.parametrize("extra", [{"a": b"bytes"}, {"a": float("nan")}, ["a list"], {1: {2}}])
async def test_an_extra_that_is_no_json_object_is_the_providers_mistake(
    extra: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has the mistake, and the piece that would be right."""
    for piece in (Thought("Hm.", extra), ToolCall("1", "look", {}, extra=extra)):
        caplog.clear()
        fakes = Fakes([piece, Text("Noon.")])
        async with fakes.session() as wire:
            await write(wire)
            await wait(wire, 1.0)
            assert failures(wire)
        assert any("extra is a JSON object" in each for each in caplog.messages)


async def test_the_usage_goes_to_the_client() -> None:
    """The fields have the names that clients know from other frameworks."""
    fakes = Fakes([Text("Noon."), Usage(10, 5, cached_tokens=8, reasoning_tokens=3)])
    async with fakes.session() as wire:
        await write(wire)
        await wait(wire, 1.0)
        (tokens,) = [each["tokens"][0] for each in wire.data_of("metrics") if "tokens" in each]
        assert (tokens["total_tokens"], tokens["cache_read_input_tokens"], tokens["reasoning_tokens"]) == (15, 8, 3)


async def test_the_policy_gets_all_of_a_transcript_and_the_voice_its_language() -> None:
    """The policy gets what the STT has reported. The seconds are in the metrics."""
    heard = Transcript("hallo", True, "de", (Word("hallo", 0.1, 0.4),), "A", 0.75)
    turns, languages = list[UserTurn](), list[str | None]()

    async def transcribe(request: STTRequest) -> AsyncGenerator[STTPiece]:
        async for _ in request.audio:
            pass
        yield Transcript("hal", final=False)
        yield heard
        yield Usage(seconds=1.5)

    async def synthesize(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
        languages.append(request.language)
        async for text in request.text:
            yield spell(text)

    async def end_of_turn(turn: UserTurn) -> float:
        turns.append(turn)
        return 0.0

    taking = TurnTaking(end_of_turn=end_of_turn)
    fakes = Fakes([Text("Hi.")], [Text("Guten Tag.")], stt=transcribe, tts=synthesize, taking=taking)
    async with fakes.session() as wire:
        await write(wire)
        await wait(wire, 1.0)
        await speak(wire, 1, 0.5)
        await silence(wire, 2.0)
        assert (await said(wire))[2:] == [("user", "hallo"), ("assistant", "Guten Tag.")]
        assert [each["seconds"][0]["value"] for each in wire.data_of("metrics") if "seconds" in each] == [1.5]
    assert [each.transcripts for each in turns] == [(heard,)]
    assert languages == [None, "de"]


async def test_words_may_come_after_their_audio() -> None:
    """They must come before their audio is played. Each one is shown and remembered when it is heard."""

    async def synthesize(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
        async for text in request.text:
            yield spell(f"{text} ")
            for start, word in ((0.0, "Now"), (0.2, "this"), (0.45, "is"), (0.6, "it.")):
                yield Word(word, start, start + 0.15)

    fakes = Fakes([Text("Now this is it.")], tts=synthesize)
    async with fakes.session() as wire:
        await write(wire)
        await wait(wire, 0.55)
        assert texts(wire.data_of("bot-tts-text")) == ["Now", "this", "is"]
        wire.call("tts:interrupt")
        await settle()
        assert await said(wire) == [("user", "go"), ("assistant", "Now this is")]
