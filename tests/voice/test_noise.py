"""Noise: the VAD reports speech, and the STT finds no words in it."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import anyio
import pytest

from rtvi_plugins.kinds import (
    LLMPiece,
    LLMRequest,
    Text,
    ToolCall,
    TTSPiece,
    TTSRequest,
)

from ..fakes.conversation import FORTY, context, said, silence, speak, spoken, types, wait, write
from ..fakes.providers import NOISE, WAIT, Fakes, spell
from ..fakes.wire import settle

pytestmark = pytest.mark.anyio


async def test_a_noise_between_question_and_answer_does_not_take_the_answer_away() -> None:
    """The STT has found no words, so the answer that was interrupted is given again, once."""
    fakes = Fakes([WAIT], [Text("Noon.")])
    async with fakes.session() as wire:
        await speak(wire, 2, 0.5)
        await silence(wire, 0.6)
        assert len(fakes.requests) == 1
        await speak(wire, NOISE, 0.3)
        await silence(wire, 2.0)
        assert types(wire).count("user-started-speaking") == 2
        assert await said(wire) == [("user", "what time is it"), ("assistant", "Noon.")]
        assert len(fakes.requests) == 2


async def test_a_noise_before_the_greeting_does_not_take_it_away() -> None:
    """The greeting is said after the STT has found no words."""
    fakes = Fakes(held=True, greeting="Good day.")
    async with fakes.session() as wire:
        await speak(wire, NOISE, 0.3)
        fakes.gate.set()
        await silence(wire, 2.0)
        assert "bot-interrupted" in types(wire)
        assert spoken(wire).rstrip() == "Good day."
        assert await said(wire) == [("assistant", "Good day.")]


async def test_an_answer_that_was_heard_in_part_is_not_repeated_after_a_noise() -> None:
    """The user has heard the beginning, and may ask again."""
    fakes = Fakes([Text(FORTY)], [Text("Again.")])
    async with fakes.session() as wire:
        await write(wire)
        await silence(wire, 1.0)
        await speak(wire, NOISE, 0.4)
        await silence(wire, 2.0)
        assert len(fakes.requests) == 1
        assert (await context(wire))[1]["interrupted"] is True


async def test_a_noise_that_is_over_before_its_interruption_is_takes_no_answer_away() -> None:
    """A vendor's stream may take long to close."""

    async def respond(request: LLMRequest) -> AsyncGenerator[LLMPiece]:
        fakes.requests.append(request)
        if len(fakes.requests) > 1:
            yield Text("Noon.")
            return
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await fakes.gate.wait()

    fakes = Fakes(llm=respond)
    async with fakes.session() as wire:
        await speak(wire, 2, 0.5)
        await silence(wire, 0.6)
        await speak(wire, NOISE, 0.3)
        await silence(wire, 1.0)
        fakes.gate.set()
        await silence(wire, 2.0)
        assert await said(wire) == [("user", "what time is it"), ("assistant", "Noon.")]


async def test_a_noise_while_a_function_is_run_does_not_take_the_answer_away() -> None:
    """The user has heard nothing of the answer. The cancelled call is remembered."""
    fakes = Fakes([ToolCall("1", "look", {})], [Text("Again.")])
    async with fakes.session() as wire:
        await write(wire)
        await speak(wire, NOISE, 0.3)
        await silence(wire, 2.0)
        assert (await said(wire))[-1] == ("assistant", "Again.")


async def test_a_question_is_answered_although_a_noise_went_on_when_it_was_taken() -> None:
    """If the user continues to speak, the turn is not finished. A noise does not continue it."""
    fakes = Fakes([Text("Noon.")])
    async with fakes.session() as wire:
        await speak(wire, 2, 0.4)
        wire.call("tts:say", text="Just a moment please, this is long.")
        await silence(wire, 1.5)
        await speak(wire, NOISE, 0.5)
        await silence(wire, 5.0)
        assert (await said(wire))[-1] == ("assistant", "Noon.")


async def test_an_announcement_that_a_noise_interrupted_is_dropped_when_the_user_speaks() -> None:
    """The vendor's stream took so long to close that both ended before it."""

    async def synthesize(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
        if len(asked) > 0:
            async for text in request.text:
                yield spell(text)
            return
        asked.append("first")
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await fakes.gate.wait()

    asked: list[str] = []
    fakes = Fakes([Text("Noon.")], tts=synthesize)
    async with fakes.session() as wire:
        wire.call("tts:say", text="An announcement.")
        await settle()
        await speak(wire, NOISE, 0.3)
        await silence(wire, 1.0)
        await speak(wire, 2, 0.3)
        fakes.gate.set()
        await speak(wire, 2, 0.2)
        await silence(wire, 4.0)
        assert await said(wire) == [("user", "what time is it"), ("assistant", "Noon.")]


async def test_sounds_that_are_far_apart_do_not_add_up_to_speech() -> None:
    """Also if the client sends nothing while its microphone is off."""
    fakes = Fakes()
    async with fakes.session() as wire:
        for _ in range(5):
            await speak(wire, 1, 0.08)
            await wait(wire, 10.0)
        assert wire.data_of("user-started-speaking") == []
