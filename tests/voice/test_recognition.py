"""Speech recognition: utterances are recognised in order, one at a time. An STT may end in several ways."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import anyio
import pytest

from rtvi_plugins import ProviderError
from rtvi_plugins.kinds import (
    STTPiece,
    STTRequest,
    Text,
    Transcript,
)

from ..fakes.conversation import failures, later, said, silence, speak
from ..fakes.providers import Fakes, recognise

pytestmark = pytest.mark.anyio


async def test_an_stt_that_ends_before_the_audio_does_is_answered() -> None:
    """It may decide by itself where a sentence ends."""

    async def transcribe(request: STTRequest) -> AsyncGenerator[STTPiece]:
        frames = 0
        async for _ in request.audio:
            frames += 1
            if frames == 15:
                yield Transcript("what time is it", final=True)
                return

    fakes = Fakes([Text("Noon.")], stt=transcribe)
    async with fakes.session() as wire:
        await speak(wire, 1, 1.0)
        assert fakes.requests == []
        await silence(wire, 2.0)
        assert await said(wire) == [("user", "what time is it"), ("assistant", "Noon.")]


async def test_transcripts_are_joined_in_the_order_of_speech() -> None:
    """If the first utterance takes long to recognise, the next one waits for it."""

    async def transcribe(request: STTRequest) -> AsyncGenerator[STTPiece]:
        async for piece in recognise(request):
            if isinstance(piece, Transcript) and piece.text == "hello there":
                await fakes.gate.wait()
            yield piece

    fakes = Fakes([Text("Fine.")], stt=transcribe)
    async with fakes.session() as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 0.7)
        await speak(wire, 4, 0.5)
        await silence(wire, 0.7)
        assert fakes.requests == []
        fakes.gate.set()
        await silence(wire, 1.0)
        assert await said(wire) == [("user", "hello there and then"), ("assistant", "Fine.")]


async def test_transcripts_are_joined_as_their_language_is_written() -> None:
    """Chinese has no spaces between sentences."""

    async def transcribe(request: STTRequest) -> AsyncGenerator[STTPiece]:
        async for _ in request.audio:
            pass
        for text in ("你好。", "世界", "is big."):
            yield Transcript(text, final=True)

    fakes = Fakes([Text("Fine.")], stt=transcribe)
    async with fakes.session() as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 1.0)
        assert await said(wire) == [("user", "你好。世界 is big."), ("assistant", "Fine.")]


async def test_thousands_of_transcripts_do_not_end_the_session() -> None:
    """Also if all of them come at once."""

    async def transcribe(request: STTRequest) -> AsyncGenerator[STTPiece]:
        async for _ in request.audio:
            pass
        for _ in range(12_000):
            yield Transcript("hello", final=False)
        yield Transcript("hello there", final=True)

    fakes = Fakes([Text("Fine.")], stt=transcribe)
    async with fakes.session() as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 2.0)
        assert wire.connection.closed is False


async def test_an_utterance_is_recognised_when_the_one_before_it_was() -> None:
    """The recogniser gets one utterance at a time, in the order of speech."""
    running, most = 0, 0

    async def transcribe(request: STTRequest) -> AsyncGenerator[STTPiece]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            async for piece in recognise(request):
                await fakes.gate.wait()
                yield piece
        finally:
            running -= 1

    fakes = Fakes([Text("Fine.")], stt=transcribe)
    async with fakes.session() as wire:
        for line in (1, 4, 5):
            await speak(wire, line, 0.5)
            await silence(wire, 0.6)
        assert (running, most) == (1, 1)
        fakes.gate.set()
        await silence(wire, 1.0)
        assert most == 1
        assert await said(wire) == [("user", "hello there and then book a room"), ("assistant", "Fine.")]


async def test_an_utterance_that_waited_has_the_recogniser_for_as_long_as_any() -> None:
    """Its time begins when the recogniser gets it, not when it was spoken."""
    begun = 0

    async def transcribe(request: STTRequest) -> AsyncGenerator[STTPiece]:
        nonlocal begun
        begun += 1
        if begun == 1:
            await anyio.sleep_forever()
        async with aclosing(recognise(request)) as pieces:
            async for piece in pieces:
                await fakes.gate.wait()
                yield piece

    fakes = Fakes([Text("Fine.")], stt=transcribe)
    async with fakes.session() as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 0.6)
        await speak(wire, 4, 0.5)
        await silence(wire, 0.6)
        await later(wire, 14.0)
        assert begun == 2
        assert failures(wire) == [str(ProviderError("The STT", "timeout"))]
        await later(wire, 10.0)
        fakes.gate.set()
        await silence(wire, 1.0)
        assert len(failures(wire)) == 1
        assert [each["text"] for each in wire.data_of("user-transcription")] == ["and then"]
