"""The echo as a speech-to-speech model, by itself and in a call."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from rtvi_plugins import Session, SpeechModel, bot, converse
from rtvi_plugins.hosting import ManualClock
from rtvi_plugins.kinds import (
    Added,
    AnswerEnded,
    Audio,
    FunctionResult,
    Heard,
    Pause,
    Respond,
    SpeechBegan,
    SpeechEnded,
    SpeechInput,
    SpeechPiece,
    SpeechRequest,
    Text,
    Transcript,
    Typed,
    Usage,
    Word,
)
from rtvi_plugins.testing import call, host_for, seconds_heard, silence, speak, wait
from rtvi_plugins_echo import speech
from rtvi_plugins_echo.speech import EchoSpeechModel, listen
from rtvi_plugins_echo.tone import tone

pytestmark = pytest.mark.anyio

LOUD, SILENT = tone(440, 0.02, 16_000), Audio(bytes(640), 16_000)


async def stream(*items: SpeechInput) -> AsyncIterator[SpeechInput]:
    """Yield input."""
    for each in items:
        yield each


async def answers(model: EchoSpeechModel, *items: SpeechInput, endpointing: bool = True) -> list[SpeechPiece]:
    """Return what it yields for this input, without the audio."""
    request = SpeechRequest(stream(*items), endpointing=endpointing)
    pieces = [piece async for piece in model.converse(request)]
    return [each for each in pieces if not isinstance(each, Audio | Word | Usage)]


async def test_it_finds_an_utterance_and_answers_it() -> None:
    """A click is not an utterance."""
    pieces = await answers(EchoSpeechModel(), LOUD, *[SILENT] * 10, *[LOUD] * 50, *[SILENT] * 30)
    text = "I heard 1.5 seconds of audio."
    assert pieces == [SpeechBegan(), SpeechEnded(), Transcript(text, final=True), Text(text), AnswerEnded()]


async def test_without_endpointing_a_pause_ends_the_utterance() -> None:
    """The end of the utterance also means that the microphone is off."""
    model = EchoSpeechModel()
    listen(model, script=["one", "two"])
    expected = [Transcript("one", final=True), Text("one"), AnswerEnded()]
    assert await answers(model, *[LOUD] * 50, Pause(), endpointing=False) == expected
    pieces = await answers(model, *[LOUD] * 50, Pause(), Pause())
    assert pieces == [SpeechBegan(), SpeechEnded(), Transcript("two", final=True), Text("two"), AnswerEnded()]


async def test_it_repeats_what_is_written_and_what_functions_return() -> None:
    """Only input that asks for an answer gets one."""
    inputs: list[SpeechInput] = [
        Typed("hi"),
        Respond(),
        Respond("Good day."),
        Added({"role": "user", "content": "Hello."}),
        Respond(),
        FunctionResult("a", "5", respond=False),
        FunctionResult("b", "6"),
        Heard(0.1, 0),
    ]
    pieces = await answers(EchoSpeechModel(), *inputs)
    texts = [each.text for each in pieces if isinstance(each, Text)]
    assert texts == ["hi", "hi", "Good day.", "Hello.", "6"]
    assert pieces.count(AnswerEnded()) == len(texts)


@bot(
    services={"speech": "echo"},
    config={"speech": {"seconds_per_word": 0.3}},
    client=["speech:get_context"],
    public=True,
)
async def beeper(session: Session, /, speech: SpeechModel) -> None:
    """Answers in tones."""
    await converse(session, speech=speech)


async def test_it_holds_a_conversation_in_which_it_can_be_interrupted() -> None:
    """Audio goes both ways, on a clock that the test controls."""
    clock = ManualClock()
    async with host_for(beeper, speech, clock=clock) as host, call(host) as line:
        await speak(line, clock, 1.0)
        await silence(line, clock, 1.0)
        before = seconds_heard(line)
        assert before == pytest.approx(0.5, abs=0.1)
        await speak(line, clock, 0.5)
        assert seconds_heard(line) == pytest.approx(0.6, abs=0.1)
        await wait(clock, 4.0)
        assert [each["interrupted"] for each in line.received("bot-turn-ended")] == [True, False]
        line.send("action", {"service": "speech", "action": "get_context", "arguments": []}, id="context")
        await wait(clock, 0.1)
        (messages,) = (each["data"]["result"]["messages"] for each in line.messages if each.get("id") == "context")
    assert [(each["role"], each["content"]) for each in messages] == [
        ("user", "I heard 1.48 seconds of audio."),
        ("assistant", "I heard"),
        ("user", "I heard 0.5 seconds of audio."),
        ("assistant", "I heard 0.5 seconds of audio."),
    ]
