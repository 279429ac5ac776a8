"""The bot's audio, in the forms in which vendors send it."""

from __future__ import annotations

from array import array
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from rtvi_plugins import ProviderError
from rtvi_plugins.kinds import (
    Audio,
    Text,
    ToolCall,
    TTSPiece,
    TTSRequest,
)
from rtvi_plugins.runtime.playback import LivePlayback

from ..fakes.conversation import failures, said, wait, write
from ..fakes.providers import RATE, Fakes, samples
from ..fakes.wire import Wire
from ..runtime.test_audio import Transport

pytestmark = pytest.mark.anyio


def samples_of(wire: Wire) -> memoryview[int]:
    """All samples of the bot that were sent to the client."""
    return memoryview(b"".join(audio.data for _, audio in wire.heard)).cast("h")


def heard(wire: Wire) -> set[int]:
    """The numbers of the samples that were sent to the client, each once."""
    return set(array("h", b"".join(audio.data for _, audio in wire.heard)))


@pytest.mark.parametrize("rate", [22_050, 48_000])
async def test_speech_that_is_cut_at_odd_bytes_is_heard_undistorted(rate: int) -> None:
    """HTTP cuts a stream at any byte."""

    async def speak(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
        data = samples(1_000, 1.0, rate).data
        async for _ in request.text:
            for start in range(0, len(data), 1_001):
                yield Audio(data[start : start + 1_001], rate)

    fakes = Fakes([Text("Fine.")], tts=speak)
    async with fakes.session() as wire:
        await write(wire)
        await wait(wire, 1.5)
        heard = samples_of(wire)
        assert len(heard) == pytest.approx(RATE, abs=RATE * 0.03)
        assert sum(1 for each in heard if each and abs(each - 1_000) > 500) == 0
        assert failures(wire) == []


async def test_speech_whose_rate_changes_is_heard_whole() -> None:
    """No sample is lost when the rate changes."""

    async def speak(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
        async for _ in request.text:
            for index in range(20):
                yield samples(1_000, 0.1, 24_000 if index % 2 else 22_050)

    fakes = Fakes([Text("Fine.")], tts=speak)
    async with fakes.session() as wire:
        await write(wire)
        await wait(wire, 2.5)
        assert len(samples_of(wire)) == pytest.approx(2 * RATE, abs=RATE * 0.03)


async def test_half_a_sample_at_the_end_of_speech_is_not_the_beginning_of_the_next() -> None:
    """Otherwise all samples after it would be noise."""

    async def synthesize(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
        async for _ in request.text:
            yield Audio(samples(100, 0.2).data + b"\1", RATE)

    fakes = Fakes([Text("One."), ToolCall("1", "look", {})], [Text("Two.")], tts=synthesize)
    async with fakes.session() as wire:
        await write(wire)
        result: dict[str, Any] = {"function_name": "look", "tool_call_id": "1", "arguments": {}, "result": "ok"}
        wire.send("llm-function-call-result", result)
        await wait(wire, 1.0)
        assert (await said(wire))[-1] == ("assistant", "Two.")
        assert heard(wire) == {100}


async def test_half_a_sample_of_a_failed_attempt_is_not_the_beginning_of_the_next() -> None:
    """A failed TTS is asked a second time."""
    attempts = 0

    async def synthesize(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            yield Audio(b"\1", RATE)
            raise ProviderError("awkward", "unavailable")
        async for _ in request.text:
            yield samples(100, 0.2)

    fakes = Fakes([Text("One.")], tts=synthesize)
    async with fakes.session() as wire:
        await write(wire)
        await wait(wire, 1.0)
        assert heard(wire) == {100}


def test_the_silence_that_fills_a_frame_is_not_taken_for_the_next_speech() -> None:
    """The heard time of an utterance counts from its first sample."""
    transport = Transport(RATE)
    playback = LivePlayback(transport.output())
    for _ in range(7):
        playback.play(samples(1, 0.021))  # a frame, and 1 ms of the next
        playback.flush()
    begins = playback.given
    playback.play(samples(1, 1.0))
    transport.clock.advance(7 * 0.040)
    assert playback.heard - begins == pytest.approx(0.0, abs=1e-6)
    transport.clock.advance(0.1)
    assert playback.heard - begins == pytest.approx(0.1, abs=1e-6)
