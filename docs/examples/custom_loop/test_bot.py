"""The two bots of the page, with a model that answers in tones."""

from __future__ import annotations

import math
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import echo
import pytest
from attrs import define, field
from realtime import REALTIME, Answer, SpeechStarted
from rtvi_plugins import service
from rtvi_plugins.kinds import Audio, Text, ToolCall, Transcript
from rtvi_plugins.testing import ManualClock, call, connect, host_for, seconds_heard, silence, speak
from rtvi_plugins_echo.tone import loudness, tone

import bot

pytestmark = pytest.mark.anyio


@define(eq=False)
class Acme:
    """Hears loud audio as speech. After 0.3 s of silence it calls a function, then answers with a tone of 2 s."""

    _send: Any = field(init=False)
    _receive: Any = field(init=False)
    _results: list[Any] = field(factory=list[Any])
    _quiet: float = math.inf

    def __attrs_post_init__(self) -> None:
        self._send, self._receive = anyio.create_memory_object_stream[Any](math.inf)

    def hear(self, audio: Audio, /) -> None:
        """Find the start and the end of speech."""
        if loudness(audio) > 0.01:
            if self._quiet > 0.3:
                self._send.send_nowait(SpeechStarted())
            self._quiet = 0.0
        elif self._quiet <= 0.3:
            self._quiet += audio.seconds
            if self._quiet > 0.3:
                self._send.send_nowait(Transcript("a room, please", final=True))
                self._send.send_nowait(Answer(self._answer()))

    def events(self) -> AsyncIterator[Any]:
        """Return what was found."""
        events: AsyncIterator[Any] = self._receive
        return events

    def function_result(self, id: str, result: Any, /) -> None:
        """Keep the result for the answer."""
        self._results.append(result)

    def close(self) -> None:
        """Close both ends."""
        self._send.close()
        self._receive.close()

    async def _answer(self) -> AsyncGenerator[Any]:
        yield ToolCall("1", "book_room", {"nights": 2})
        yield Text(f"It is {self._results[-1]}.")
        yield tone(440, 2.0, 24_000, 0.3)


@service(REALTIME, "acme")
@asynccontextmanager
async def acme() -> AsyncGenerator[Acme]:
    """A model for tests."""
    model = Acme()
    yield model
    model.close()


async def test_the_echo_bot_repeats_what_the_user_writes() -> None:
    """The client also gets the end of each turn."""
    async with connect(echo.echo) as client:
        for text in ("hello", "bye"):
            await client.send_text(text)
            received: list[Any] = []
            async for event in client.events():
                received.append((event.type, event.data))
                if event.type == "bot-turn-ended":
                    break
            assert ("bot-transcription", {"text": text}) in received


async def test_the_model_hears_calls_a_function_and_is_heard() -> None:
    """Audio is in real time. The client gets events about the speakers, and both sides are in the context."""
    clock = ManualClock()
    async with host_for(bot.receptionist, sys.modules[__name__], clock=clock, dev=True) as host, call(host) as line:
        await speak(line, clock, 0.4)
        await silence(line, clock, 1.4)
        assert 0.9 < seconds_heard(line) < 1.2
        await silence(line, clock, 2.0)
        assert seconds_heard(line) == pytest.approx(2.0, abs=0.05)
        assert [each["type"] for each in line.messages if each["type"] != "bot-ready"] == [
            "user-started-speaking",
            "user-stopped-speaking",
            "user-transcription",
            "llm-function-call-started",
            "llm-function-call-stopped",
            "bot-transcription",
            "bot-output",
            "bot-started-speaking",
            "bot-stopped-speaking",
            "bot-turn-ended",
        ]
        assert line.connection.session.context.messages == (
            {"role": "user", "content": "a room, please"},
            {"role": "assistant", "content": "It is booked for 2 nights."},
        )


async def test_speech_interrupts_the_model() -> None:
    """The interruption is immediate. The next answer has its own turn."""
    clock = ManualClock()
    async with host_for(bot.receptionist, sys.modules[__name__], clock=clock, dev=True) as host, call(host) as line:
        await speak(line, clock, 0.4)
        await silence(line, clock, 1.0)
        before = seconds_heard(line)
        assert before < 1.0
        await speak(line, clock, 0.4)
        assert seconds_heard(line) - before < 0.1
        await silence(line, clock, 3.0)
        assert seconds_heard(line) - before > 1.9
        assert line.received("bot-turn-ended") == [{"interrupted": True}, {"interrupted": False}]


async def test_the_model_reads_why_a_function_has_failed() -> None:
    """The bot continues."""
    clock = ManualClock()
    async with host_for(bot.receptionist, sys.modules[__name__], clock=clock, dev=True) as host, call(host) as line:
        result = await bot.result_of(line.connection.session, ToolCall("1", "book_room", {"nights": "two"}))
        assert "expected a whole number" in result["error"]
