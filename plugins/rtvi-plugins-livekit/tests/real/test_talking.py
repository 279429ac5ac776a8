"""Spoken conversations over LiveKit's plugins, in real time, because LiveKit knows no other."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from time import perf_counter
from typing import Any

import anyio
import pytest
from attrs import define
from vendors import SocketVendor, cartesia, deepgram, openai_chat, tone

from rtvi_plugins import LLM, STT, TTS, VAD, Failover, Session, bot, converse
from rtvi_plugins.kinds import Audio
from rtvi_plugins.testing import Line, call, host_for
from rtvi_plugins_livekit import livekit
from rtvi_plugins_vendor.scripts import ScriptedVendor

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

hears, hears_too = (livekit("stt", "deepgram", name=name) for name in ("hears", "hears-too"))
thinks, thinks_too = (livekit("llm", "openai", name=name) for name in ("thinks", "thinks-too"))
speaks, speaks_too = (livekit("tts", "cartesia", name=name) for name in ("speaks", "speaks-too"))
KEYS: dict[str, Any] = dict.fromkeys(
    ["hears", "hears-too", "thinks", "thinks-too", "speaks", "speaks-too"], "key-of-a-test"
)


@bot(
    services={
        "stt": ["hears", "hears-too"],
        "llm": ["thinks", "thinks-too"],
        "tts": ["speaks", "speaks-too"],
        "vad": "echo",
    },
    client=["stt.provider", "llm.provider", "tts.provider"],
    public=True,
)
async def talker(session: Session, /, stt: STT, llm: LLM, tts: TTS, vad: VAD) -> None:
    """Speaks through LiveKit's plugins, of which the client may choose."""
    await converse(session, stt=stt, llm=llm, tts=tts, vad=vad)


@bot(
    services={
        "stt": Failover("hears", "hears-too"),
        "llm": Failover("thinks", "thinks-too"),
        "tts": Failover("speaks", "speaks-too"),
        "vad": "echo",
    },
    public=True,
)
async def survivor(session: Session, /, stt: STT, llm: LLM, tts: TTS, vad: VAD) -> None:
    """Speaks through those that work."""
    await converse(session, stt=stt, llm=llm, tts=tts, vad=vad)


@define
class Vendors:
    """Two vendors for each service."""

    hears: SocketVendor
    hears_too: SocketVendor
    thinks: ScriptedVendor
    thinks_too: ScriptedVendor
    speaks: SocketVendor
    speaks_too: SocketVendor

    @property
    def options(self) -> dict[str, dict[str, Any]]:
        """The service options that lead to them."""
        found: list[tuple[str, Any]] = [
            *(("stt.hears", self.hears), ("stt.hears-too", self.hears_too)),
            *(("llm.thinks", self.thinks), ("llm.thinks-too", self.thinks_too)),
            *(("tts.speaks", self.speaks), ("tts.speaks-too", self.speaks_too)),
        ]
        return {name: {**each.service_options, "timeout": 5.0} for name, each in found}

    def asked(self) -> tuple[int, ...]:
        """How many requests each had so far: the first and the second one that hears, thinks and speaks."""
        first = (self.hears, self.hears_too, self.thinks, self.thinks_too, self.speaks, self.speaks_too)
        return tuple(len(each.vendor.requests) for each in first)


@asynccontextmanager
async def conversation(function: Any) -> AsyncGenerator[tuple[Line, Vendors]]:
    """Talk to a bot."""
    async with AsyncExitStack() as stack:
        opened = [open() for open in (deepgram, deepgram, openai_chat, openai_chat, cartesia, cartesia)]
        vendors = Vendors(*[await stack.enter_async_context(each) for each in opened])  # type: ignore[arg-type]
        host = await stack.enter_async_context(host_for(function, sys.modules[__name__], api_keys=KEYS))
        host.set_service_options(vendors.options)
        yield await stack.enter_async_context(call(host)), vendors


async def microphone(line: Line, seconds: float, *, loud: bool) -> AsyncGenerator[None]:
    """Send what a microphone hears."""
    frame = Audio(tone(0.03)[:640] if loud else bytes(640), 16_000)
    for _ in range(int(seconds / 0.02)):
        line.speak(frame)
        await anyio.sleep(0.02)
        yield


async def say_something(line: Line) -> float:
    """Speak, and listen to the whole answer. Return after how many seconds it began."""
    async for _ in microphone(line, 0.6, loud=True):
        pass
    begin, began, ended = perf_counter(), len(line.audio), len(line.received("bot-stopped-speaking"))
    took = 0.0
    async with aclosing(microphone(line, 8.0, loud=False)) as silence:
        async for _ in silence:
            if not took and any(map(is_audible, line.audio[began:])):
                took = perf_counter() - begin
            if len(line.received("bot-stopped-speaking")) > ended:
                break
    assert took, "the bot did not answer"
    return took


def is_audible(audio: Audio) -> bool:
    """Whether there is more than silence."""
    return max(map(abs, memoryview(audio.data).cast("h")), default=0) > 200


async def test_a_spoken_turn_is_answered_soon() -> None:
    """The limit is generous for busy machines. Deepgram's stream alone would take up to five seconds to end."""
    async with conversation(talker) as (line, _):
        assert await say_something(line) < 2.5
        texts = [each["text"] for each in line.received("user-transcription") if each["final"]]
    assert texts == ["two nights please"]


async def test_each_provider_can_be_switched_in_a_conversation() -> None:
    """The next turn has the new ones."""
    async with conversation(talker) as (line, vendors):
        await say_something(line)
        assert vendors.asked() == (1, 0, 1, 0, 1, 0)
        wanted = {"stt": "hears-too", "llm": "thinks-too", "tts": "speaks-too"}
        config = [
            {"service": service, "options": [{"name": "provider", "value": label}]} for service, label in wanted.items()
        ]
        line.send("update-config", {"config": config}, id="switch")
        await say_something(line)
        assert vendors.asked() == (1, 1, 1, 1, 1, 1)


async def test_a_conversation_survives_the_loss_of_each_vendor() -> None:
    """One after the other, and each within the turn in which it is lost."""
    async with conversation(survivor) as (line, vendors):
        await say_something(line)
        await vendors.hears.fail()
        await say_something(line)
        assert vendors.asked()[:2] == (2, 1)
        vendors.thinks.script("500")
        await say_something(line)
        assert vendors.asked()[2:4] == (3, 1)
        await vendors.speaks.fail()
        await say_something(line)
        assert vendors.asked()[5] == 1
        texts = [each["text"] for each in line.received("user-transcription") if each["final"]]
    assert texts == ["two nights please"] * 4
