"""A user who speaks for longer than the longest turn."""

from __future__ import annotations

from array import array
from collections.abc import AsyncGenerator

import pytest

from rtvi_plugins import LLM, STT, TTS, Session, bot, converse
from rtvi_plugins.kinds import STTPiece, STTRequest, Text, Transcript
from rtvi_plugins.voice import TurnTaking

from ..fakes.conversation import said, silence, speak, wait, write
from ..fakes.providers import POLITE, Fakes
from ..fakes.wire import settle

pytestmark = pytest.mark.anyio


@bot(services={"llm": "scripted", "stt": "script", "tts": "spell"}, client=["llm:get_context"], public=True)
async def held_button(session: Session, /, llm: LLM, stt: STT, tts: TTS) -> None:
    """A bot that hears the user while a button is held, for at most a second."""
    await converse(session, llm=llm, stt=stt, tts=tts, taking=TurnTaking(longest_turn_seconds=1.0))


async def test_a_turn_that_is_too_long_is_answered() -> None:
    """It ends like any other turn."""
    fakes = Fakes([Text("Fine.")], **POLITE)
    async with fakes.session() as wire:
        await wait(wire, 1.0)
        await speak(wire, 1, 2.2)
        await settle()
        assert ("user", "hello there") in await said(wire)


async def test_after_a_turn_that_was_too_long_the_user_is_heard_again_after_a_pause() -> None:
    """Everything that they said before is one turn, and is answered."""
    fakes = Fakes([Text("Fine.")], [Text("Well.")], **POLITE)
    async with fakes.session() as wire:
        await wait(wire, 1.0)
        await speak(wire, 1, 6.0)
        assert fakes.begun["stt"] == 1
        await silence(wire, 2.0)
        await speak(wire, 4, 0.5)
        await silence(wire, 2.0)
        assert await said(wire) == [
            ("assistant", "Good day."),
            ("user", "hello there"),
            ("assistant", "Fine."),
            ("user", "and then"),
            ("assistant", "Well."),
        ]


async def test_a_button_that_was_held_for_too_long_can_be_pressed_again() -> None:
    """No audio comes while the button is up. So the bot knows that it was released."""
    fakes = Fakes([Text("Fine.")], [Text("Noon.")])
    async with fakes.session(held_button) as wire:
        await speak(wire, 1, 1.5)
        await wait(wire, 3.0)
        await speak(wire, 2, 0.5)
        await wait(wire, 3.0)
        assert [content for role, content in await said(wire) if role == "user"] == ["hello there", "what time is it"]


async def test_a_user_who_never_stops_keeps_nobody_waiting() -> None:
    """An example is a television in the room. Announcements are said, and typed text is answered."""
    fakes = Fakes(*[[Text("Fine.")]] * 5, taking=TurnTaking(longest_turn_seconds=2.0))
    async with fakes.session() as wire:
        await speak(wire, 1, 1.0)
        wire.call("tts:say", text="Hello.")
        await write(wire, "typed")
        await speak(wire, 1, 10.0)
        conversation = await said(wire)
        assert {("assistant", "Hello."), ("user", "typed"), ("assistant", "Fine.")} <= set(conversation)


@pytest.mark.parametrize("after", [0.9, 0.92, 0.94, 0.96, 0.98])
async def test_words_after_a_turn_that_was_too_long_are_heard_from_their_beginning(after: float) -> None:
    """The pending timer for the end of the audio is cancelled."""
    heard: list[float] = []

    async def transcribe(request: STTRequest) -> AsyncGenerator[STTPiece]:
        numbers = [each async for audio in request.audio for each in array("h", audio.data)]
        heard.append(numbers.count(4) / 16_000)
        yield Transcript("", final=True)

    async with Fakes(stt=transcribe, taking=TurnTaking(longest_turn_seconds=2.0)).session() as wire:
        await speak(wire, 1, 3.0)
        await silence(wire, after)
        await speak(wire, 4, 0.5)
        await silence(wire, 2.0)
        assert heard == [0, pytest.approx(0.5, abs=0.04)]
