"""The transport, with a bot that understands tones and speaks in tones."""

from __future__ import annotations

import pytest
from rtvi_plugins import LLM, STT, TTS, VAD, Session, bot, converse
from rtvi_plugins.testing import ManualClock, host_for, seconds_heard, settle, silence, speak, wait

from transport.memory import RATE, call

pytestmark = pytest.mark.anyio


@bot(services={"stt": "echo", "llm": "echo", "tts": "echo", "vad": "echo"}, public=True)
async def parrot(session: Session, /, stt: STT, llm: LLM, tts: TTS, vad: VAD) -> None:
    """Repeats what it heard."""
    await converse(session, stt=stt, llm=llm, tts=tts, vad=vad)


async def test_it_carries_both_sides() -> None:
    """Speech arrives at the bot, and its answer comes back as text and audio."""
    clock = ManualClock()
    async with host_for(parrot, clock=clock) as host, call(host) as line:
        await settle()
        await speak(line, clock, 1.0)
        await silence(line, clock, 2.5)
        said, *_ = line.received("user-llm-text")
        assert said["text"].startswith("I heard 1.")
        assert "".join(each["text"] for each in line.received("bot-llm-text")) == said["text"]
        assert {(each.rate, each.channels, each.seconds) for each in line.audio} == {(RATE, 1, 0.02)}
        assert 0.6 <= seconds_heard(line) <= 0.7  # seven words


async def test_audio_comes_in_real_time() -> None:
    """Audio comes two frames before its time."""
    clock = ManualClock()
    async with host_for(parrot, clock=clock) as host, call(host) as line:
        line.send("send-text", {"content": "one two three four five six seven eight nine ten"})
        await settle()
        assert len(line.audio) <= 3
        await wait(clock, 0.5)
        assert 27 <= len(line.audio) <= 28


async def test_a_client_that_leaves_ends_the_session() -> None:
    """`outgoing` then returns nothing."""
    async with host_for(parrot, clock=ManualClock()) as host:
        async with call(host) as line:
            await settle()
        assert line.connection.closed
        assert list(await line.connection.outgoing()) == []
