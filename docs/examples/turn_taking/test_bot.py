import pytest
from rtvi_plugins.testing import ManualClock, host_for
from rtvi_plugins.voice import UserTurn

import stand_ins
from bot import listener, with_patience
from caller import settle, silence, speak, wait
from transport.memory import Line, call

pytestmark = pytest.mark.anyio


def answers(line: Line) -> list[str]:
    """What the bot has begun to say."""
    return [each["text"] for each in line.told("bot-transcription")]


async def test_the_policy_alone() -> None:
    """It is a function, and is tested as one."""
    assert await with_patience(UserTurn("My name is", 0.8)) == 2.0
    assert await with_patience(UserTurn("My name is Ada.", 1.2)) == 0.0


async def test_who_has_finished_is_answered_soon() -> None:
    """The silence of the VAD is enough."""
    stand_ins.lines.extend(["My name is Ada."])
    clock = ManualClock()
    async with host_for(listener, stand_ins, clock=clock, dev=True) as host, call(host) as line:
        await settle()
        await speak(line, clock, 1.0)
        await silence(line, clock, 0.4)
        assert answers(line) == ["Nice to meet you, Ada."]


async def test_who_is_looking_for_a_word_is_waited_for() -> None:
    """Both parts are one turn, and the LLM is asked once."""
    stand_ins.lines.extend(["My name is", "Ada."])
    clock = ManualClock()
    async with host_for(listener, stand_ins, clock=clock, dev=True) as host, call(host) as line:
        await settle()
        await speak(line, clock, 0.5)
        await silence(line, clock, 1.5)
        assert answers(line) == []
        await speak(line, clock, 0.5)
        await silence(line, clock, 0.5)
        assert [each["text"] for each in line.told("user-llm-text")] == ["My name is Ada."]
        assert answers(line) == ["Nice to meet you, Ada."]


async def test_the_patience_ends() -> None:
    """After two seconds what there is is answered."""
    stand_ins.lines.extend(["What is 3 plus four and"])
    clock = ManualClock()
    async with host_for(listener, stand_ins, clock=clock, dev=True) as host, call(host) as line:
        await settle()
        await speak(line, clock, 0.5)
        await silence(line, clock, 2.6)
        assert len(answers(line)) == 1


async def test_a_short_noise_does_not_interrupt() -> None:
    """0.4 s of speech do."""
    stand_ins.lines.clear()
    clock = ManualClock()
    async with host_for(listener, stand_ins, clock=clock, dev=True) as host, call(host) as line:
        await settle()
        line.send("send-text", {"content": "Tell me a story."})
        await wait(clock, 1.0)
        await speak(line, clock, 0.3)
        await silence(line, clock, 0.5)
        assert line.told("bot-interrupted") == []
        await speak(line, clock, 0.5)
        assert len(line.told("bot-interrupted")) == 1


async def test_who_says_nothing_is_asked_once() -> None:
    """Ten seconds after the bot has spoken."""
    clock = ManualClock()
    async with host_for(listener, stand_ins, clock=clock, dev=True) as host, call(host) as line:
        await settle()
        line.send("send-text", {"content": "My name is Ada."})
        await wait(clock, 30.0)
        assert answers(line) == ["Nice to meet you, Ada.", "Take your time.", "I am here."]
