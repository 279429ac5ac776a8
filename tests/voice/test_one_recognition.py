"""One recognition at a time: a session that speaks faster than it is understood takes no more of a recogniser."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import anyio
import pytest

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import STTPiece, STTRequest, Text

from ..fakes.awkward import acts, begin, recognise
from ..fakes.scripted import script
from ..fakes.spoken import silence, speak
from .test_voice_faults import failures, later, said, talking

pytestmark = pytest.mark.anyio


async def test_an_utterance_is_recognised_when_the_one_before_it_was() -> None:
    """However many there are, one at a time is given to the recogniser, in the order in which they were said."""
    running, most = 0, 0

    async def transcribe(request: STTRequest) -> AsyncGenerator[STTPiece]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            async for piece in recognise(request):
                await acts.gate.wait()
                yield piece
        finally:
            running -= 1

    begin(stt=transcribe)
    script.write([Text("Fine.")])
    async with talking() as wire:
        for line in (1, 4, 5):
            await speak(wire, line, 0.5)
            await silence(wire, 0.6)
        assert (running, most) == (1, 1)
        acts.gate.set()
        await silence(wire, 1.0)
        assert most == 1
        assert await said(wire) == [("user", "hello there and then book a room"), ("assistant", "Fine.")]


async def test_an_utterance_that_waited_has_the_recogniser_for_as_long_as_any() -> None:
    """Its time begins when it is given to the recogniser, not when it was said."""
    begun = 0

    async def transcribe(request: STTRequest) -> AsyncGenerator[STTPiece]:
        nonlocal begun
        begun += 1
        if begun == 1:
            await anyio.sleep_forever()
        async with aclosing(recognise(request)) as pieces:
            async for piece in pieces:
                await acts.gate.wait()
                yield piece

    begin(stt=transcribe)
    script.write([Text("Fine.")])
    async with talking() as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 0.6)
        await speak(wire, 4, 0.5)
        await silence(wire, 0.6)
        await later(wire, 14.0)
        assert begun == 2
        assert failures(wire) == [str(ProviderError("The STT", "timeout"))]
        await later(wire, 10.0)
        acts.gate.set()
        await silence(wire, 1.0)
        assert len(failures(wire)) == 1
        assert [each["text"] for each in wire.told("user-transcription")] == ["and then"]
