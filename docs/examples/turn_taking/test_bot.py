import pytest
from rtvi_plugins.testing import Line, ManualClock, call, host_for, settle, silence, speak, wait
from rtvi_plugins.voice import UserTurn

import fake_speech
from bot import listener, wait_for_the_rest

pytestmark = pytest.mark.anyio


def answers(line: Line) -> list[str]:
    """Return the sentences that the bot has started."""
    return [each["text"] for each in line.received("bot-transcription")]


async def test_the_function_alone() -> None:
    """A test can call the function."""
    assert await wait_for_the_rest(UserTurn("My name is", 0.8)) == 2.0
    assert await wait_for_the_rest(UserTurn("My name is Ada.", 1.2)) == 0.0


async def test_the_answer_to_a_complete_sentence_comes_soon() -> None:
    """The `stop_secs` of the VAD are enough."""
    fake_speech.lines.extend(["My name is Ada."])
    clock = ManualClock()
    async with host_for(listener, fake_speech, clock=clock, dev=True) as host, call(host) as line:
        await settle()
        await speak(line, clock, 1.0)
        await silence(line, clock, 0.4)
        assert answers(line) == ["Nice to meet you, Ada."]


async def test_the_bot_waits_for_the_rest_of_a_sentence() -> None:
    """Both parts become one message to the LLM."""
    fake_speech.lines.extend(["My name is", "Ada."])
    clock = ManualClock()
    async with host_for(listener, fake_speech, clock=clock, dev=True) as host, call(host) as line:
        await settle()
        await speak(line, clock, 0.5)
        await silence(line, clock, 1.5)
        assert answers(line) == []
        await speak(line, clock, 0.5)
        await silence(line, clock, 0.5)
        assert [each["text"] for each in line.received("user-llm-text")] == ["My name is Ada."]
        assert answers(line) == ["Nice to meet you, Ada."]


async def test_the_bot_does_not_wait_forever() -> None:
    """After two seconds the bot answers."""
    fake_speech.lines.extend(["What is 3 plus four and"])
    clock = ManualClock()
    async with host_for(listener, fake_speech, clock=clock, dev=True) as host, call(host) as line:
        await settle()
        await speak(line, clock, 0.5)
        await silence(line, clock, 2.6)
        assert len(answers(line)) == 1


async def test_a_short_noise_does_not_interrupt() -> None:
    """0.4 s of speech interrupt the bot."""
    fake_speech.lines.clear()
    clock = ManualClock()
    async with host_for(listener, fake_speech, clock=clock, dev=True) as host, call(host) as line:
        await settle()
        line.send("send-text", {"content": "Tell me a story."})
        await wait(clock, 1.0)
        await speak(line, clock, 0.3)
        await silence(line, clock, 0.5)
        assert line.received("bot-interrupted") == []
        await speak(line, clock, 0.5)
        assert len(line.received("bot-interrupted")) == 1


async def test_a_silent_user_is_asked_once() -> None:
    """The bot asks ten seconds after it has spoken."""
    clock = ManualClock()
    async with host_for(listener, fake_speech, clock=clock, dev=True) as host, call(host) as line:
        await settle()
        line.send("send-text", {"content": "My name is Ada."})
        await wait(clock, 30.0)
        assert answers(line) == ["Nice to meet you, Ada.", "Take your time.", "I am here."]
