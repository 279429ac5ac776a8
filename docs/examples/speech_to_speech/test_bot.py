import pytest
from rtvi_plugins.kinds import FunctionResult, Respond, SpeechBegan, SpeechEnded, ToolCall, Transcript
from rtvi_plugins.testing import (
    ManualClock,
    ScriptedSpeechModel,
    call,
    connect,
    fake_provider,
    host_for,
    silence,
    wait,
)

from bot import PROMPT, receptionist

pytestmark = pytest.mark.anyio


async def test_it_books_a_room() -> None:
    """The model asks for the function, and speaks about its result."""
    model = ScriptedSpeechModel("Good evening.", ToolCall("1", "book_room", {"nights": 2, "name": "Ada"}), "Done.")
    clock = ManualClock()
    async with host_for(receptionist, fake_provider("speech.openai", model), clock=clock) as host, call(host) as line:
        await wait(clock, 1.0)
        model.hear(SpeechBegan())
        await silence(line, clock, 1.0)
        model.hear(Transcript("Two nights for Ada, please.", final=True), SpeechEnded())
        await silence(line, clock, 1.0)
    assert model.requests[0].messages == [{"role": "system", "content": PROMPT}]
    assert model.inputs == [
        Respond("Good evening, this is the hotel."),
        FunctionResult("1", "Room 7 is booked for Ada, 2 nights."),
    ]
    assert [each["text"] for each in line.received("bot-transcription")] == ["Good evening.", "Done."]


async def test_a_stop_is_passed_on() -> None:
    """The model gets the length of the part of its answer that the user has heard."""
    model = ScriptedSpeechModel("Good evening, this is the hotel.")
    clock = ManualClock()
    async with host_for(receptionist, fake_provider("speech.openai", model), clock=clock) as host, call(host) as line:
        await wait(clock, 0.3)
        model.hear(SpeechBegan())
        await silence(line, clock, 0.1)
    assert [each.answer for each in model.heard] == [0]
    assert 0.1 < model.heard[0].seconds < 0.4


async def test_it_also_answers_in_writing() -> None:
    """A client without audio gets the text."""
    model = ScriptedSpeechModel("Good evening.", "Yes, there is.")
    async with connect(receptionist, fake_provider("speech.openai", model)) as client:
        assert await client.ask("Is there a parking place?") == "Yes, there is."
