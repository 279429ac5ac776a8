"""Barge-in: the user interrupts the bot, by voice or by an action, and no output of the turn follows."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import anyio
import pytest

from rtvi_plugins.kinds import (
    LLMPiece,
    LLMRequest,
    Text,
    TTSPiece,
    TTSRequest,
)

from ..fakes.conversation import FORTY, context, failures, said, silence, speak, spoken, texts, types, wait, write
from ..fakes.providers import POLITE, WAIT, Fakes, spell

pytestmark = pytest.mark.anyio

TEXTS = {"bot-llm-text", "bot-tts-text", "bot-output", "bot-transcription"}


async def stumbling_llm(request: LLMRequest) -> AsyncGenerator[LLMPiece]:
    """Raise while being closed."""
    try:
        yield Text(f"{FORTY} ")
        await anyio.sleep_forever()
    finally:
        raise RuntimeError("the vendor's stream cannot be closed")


async def stumbling_tts(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
    """Raise while being closed."""
    try:
        async for text in request.text:
            yield spell(text)
        await anyio.sleep_forever()
    finally:
        raise RuntimeError("the vendor's stream cannot be closed")


async def test_speaking_over_the_bot_silences_it_within_a_frame() -> None:
    """No old audio follows, and the context has what was heard."""
    fakes = Fakes([Text(FORTY)], [Text("Yes?")])
    async with fakes.session() as wire:
        wire.send("send-text", {"content": "go", "options": {}})
        await silence(wire, 1.0)
        await speak(wire, 3, 0.2)
        played = len(wire.heard)
        await speak(wire, 3, 0.3)
        assert len(wire.heard) <= played + 2
        kinds = types(wire)
        assert (
            kinds.index("user-started-speaking") < kinds.index("bot-interrupted") < kinds.index("bot-stopped-speaking")
        )
        played = len(wire.heard)
        await silence(wire, 0.4)
        assert len(wire.heard) == played
        await silence(wire, 1.0)
        ((_, _), (_, heard), *rest) = await said(wire)
        assert FORTY.startswith(heard)
        assert 15 <= len(heard) <= 26
        assert (await context(wire))[1]["interrupted"] is True
        assert rest == [("user", "stop"), ("assistant", "Yes?")]
        assert (fakes.begun["tts"], fakes.begun["stt"]) == (fakes.ended["tts"], fakes.ended["stt"])


async def test_a_cough_does_not_interrupt() -> None:
    """Speech during the bot's turn must last for a moment to count."""
    fakes = Fakes([Text(FORTY)])
    async with fakes.session() as wire:
        wire.send("send-text", {"content": "go", "options": {}})
        await silence(wire, 0.5)
        await speak(wire, 3, 0.12)
        await silence(wire, 3.0)
        assert "user-started-speaking" not in types(wire)
        assert await said(wire) == [("user", "go"), ("assistant", FORTY)]


async def test_speech_that_continues_before_the_answer_is_heard_is_one_turn() -> None:
    """Nothing of the first answer was heard, so nothing of it is remembered."""
    fakes = Fakes([WAIT], [Text("Fine.")])
    async with fakes.session() as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 0.6)
        assert len(fakes.requests) == 1
        await speak(wire, 4, 0.5)
        await silence(wire, 2.0)
        assert await said(wire) == [("user", "hello there and then"), ("assistant", "Fine.")]
        assert texts(wire.data_of("user-llm-text")) == ["hello there", "hello there and then"]


async def test_a_bot_that_may_not_be_interrupted_continues() -> None:
    """What the user says during the bot's turn is ignored."""
    fakes = Fakes(**POLITE)
    async with fakes.session() as wire:
        await speak(wire, 3, 0.3)
        await silence(wire, 1.0)
        assert spoken(wire).rstrip() == "Good day."
        assert fakes.begun["stt"] == 0


@pytest.mark.parametrize("action", ["say", "run"])
async def test_announcements_wait_for_the_user_to_finish(action: str) -> None:
    """The bot does not speak while the user speaks."""
    fakes = Fakes([Text("Fine.")], [Text("Too much.")])
    async with fakes.session() as wire:
        await speak(wire, 1, 0.4)
        wire.call("llm:run") if action == "run" else wire.call("tts:say", text="News.")
        await speak(wire, 1, 1.0)
        assert wire.heard == []
        assert fakes.requests == []
        await silence(wire, 3.0)
        assert ("user", "hello there") in await said(wire)
        assert ("assistant", "Fine.") in await said(wire)
        if action == "say":
            assert spoken(wire).replace("\0", "").split() in (["News.", "Fine."], ["Fine.", "News."])
        else:  # the answer to what they said is the one that was asked for
            assert len(fakes.requests) == 1


async def test_an_interruption_forgets_what_was_still_to_be_said() -> None:
    """A user who says "stop" means all announcements, not only the first."""
    fakes = Fakes([Text("Fine.")])
    async with fakes.session() as wire:
        for text in ("The first announcement.", "The second announcement.", "The third announcement."):
            wire.call("tts:say", text=text)
        await silence(wire, 0.5)
        await speak(wire, 3, 1.0)
        await silence(wire, 3.0)
        first, *rest = await said(wire)
        assert first[1] != ""
        assert "The first announcement.".startswith(first[1])
        assert rest == [("user", "stop"), ("assistant", "Fine.")]


async def test_speech_after_an_action_interrupted_is_a_turn_of_its_own() -> None:
    """The question before it was dropped by the client that called the action."""
    fakes = Fakes([WAIT], [Text("Booked.")])
    async with fakes.session() as wire:
        await speak(wire, 2, 0.5)
        await silence(wire, 0.6)
        wire.call("tts:interrupt")
        await silence(wire, 2.0)
        await speak(wire, 5, 0.5)
        await silence(wire, 2.0)
        assert await said(wire) == [("user", "what time is it"), ("user", "book a room"), ("assistant", "Booked.")]


async def test_no_text_of_a_turn_follows_its_interruption() -> None:
    """This is true at every position within a word."""
    for step in range(12):
        fakes = Fakes([Text("One two six ten. A b c d e f g h.")])
        async with fakes.session(body={"services": {"tts": "words"}}) as wire:
            await write(wire)
            await wait(wire, 0.3 + step * 0.05)
            wire.call("tts:interrupt")
            await wait(wire, 0.2)
            sequence = types(wire)
            assert TEXTS & set(sequence[: sequence.index("bot-interrupted")])
            assert not TEXTS & set(sequence[sequence.index("bot-interrupted") :])


@pytest.mark.parametrize("stumbles", [{"llm": stumbling_llm}, {"tts": stumbling_tts}], ids=["llm", "tts"])
async def test_a_provider_that_stumbles_over_an_interruption_has_not_failed(stumbles: dict[str, Any]) -> None:
    """There is no error and no apology. The part that was heard is remembered as interrupted."""
    fakes = Fakes([Text(f"{FORTY} ")], **stumbles)
    async with fakes.session() as wire:
        await write(wire)
        await wait(wire, 1.0)
        wire.call("tts:interrupt")
        await wait(wire, 3.0)
        assert failures(wire) == []
        assert len(wire.heard) <= 55
        _, answer = await context(wire)
        assert answer["interrupted"] is True
        assert FORTY.startswith(answer["content"])
        assert 10 <= len(answer["content"]) <= 24
