"""The transport, with a bot that hears tones and speaks in tones."""

from __future__ import annotations

import pytest
from rtvi_plugins import LLM, STT, TTS, VAD, Session, bot, converse
from rtvi_plugins.testing import ManualClock, host_for

from caller import seconds_heard, settle, silence, speak, wait
from transport.memory import RATE, call

pytestmark = pytest.mark.anyio


@bot(services={"stt": "echo", "llm": "echo", "tts": "echo", "vad": "echo"}, public=True)
async def parrot(session: Session, /, stt: STT, llm: LLM, tts: TTS, vad: VAD) -> None:
    """Says what it heard."""
    await converse(session, stt=stt, llm=llm, tts=tts, vad=vad)


async def test_it_carries_both_sides() -> None:
    """What is said arrives, and what is answered comes back as text and as sound."""
    clock = ManualClock()
    async with host_for(parrot, clock=clock) as host, call(host) as line:
        await settle()
        await speak(line, clock, 1.0)
        await silence(line, clock, 2.5)
        ((said, *_),) = [line.told("user-llm-text")]
        assert said["text"].startswith("I heard 1.")
        assert "".join(each["text"] for each in line.told("bot-llm-text")) == said["text"]
        assert {(each.rate, each.channels, each.seconds) for each in line.audio} == {(RATE, 1, 0.02)}
        assert 0.6 <= seconds_heard(line) <= 0.7  # seven words


async def test_audio_comes_in_real_time() -> None:
    """There is nothing to pace: it comes when it is due, two frames ahead."""
    clock = ManualClock()
    async with host_for(parrot, clock=clock) as host, call(host) as line:
        line.send("send-text", {"content": "one two three four five six seven eight nine ten"})
        await settle()
        assert len(line.audio) <= 3
        await wait(clock, 0.5)
        assert 27 <= len(line.audio) <= 28


async def test_a_client_that_leaves_ends_the_session() -> None:
    """`outgoing` then gives nothing, and the line has ended."""
    async with host_for(parrot, clock=ManualClock()) as host:
        async with call(host) as line:
            await settle()
        assert line.connection.closed
        assert list(await line.connection.outgoing()) == []
