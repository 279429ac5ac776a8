"""STTs and VADs that fail, hang or die: the user is told, and can write."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import anyio
import pytest

from rtvi_plugins import ProviderError
from rtvi_plugins.kinds import (
    Audio,
    STTPiece,
    STTRequest,
    Text,
)

from ..fakes.conversation import APOLOGY, failures, later, said, silence, speak, spoken, wait, write
from ..fakes.providers import Fakes, recognise, samples
from ..fakes.wire import settle

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("service", ["stt", "vad"])
async def test_a_bot_that_cannot_hear_says_so_and_can_be_written_to(service: str) -> None:
    """The user can still type."""
    fakes = Fakes([Text("Fine.")])
    fakes.errors[service] = ProviderError("script", "unavailable")
    async with fakes.session() as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 6.0)
        assert [each["code"] for each in wire.data_of("error")] == ["provider-failed"]
        assert spoken(wire).startswith("I am sorry")
        wire.send("send-text", {"content": "go", "options": {}})
        await wait(wire, 1.0)
        assert ("assistant", "Fine.") in await said(wire)


async def test_an_stt_that_hangs_is_given_up_and_the_next_utterance_is_heard() -> None:
    """The bot apologises, and the error has the category timeout."""
    utterances = 0

    async def transcribe(request: STTRequest) -> AsyncGenerator[STTPiece]:
        nonlocal utterances
        utterances += 1
        if utterances == 1:
            await anyio.sleep_forever()
        async for piece in recognise(request):
            yield piece

    fakes = Fakes([Text("Fine.")], stt=transcribe)
    async with fakes.session() as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 0.6)
        await later(wire, 14.0)
        assert failures(wire) == []
        await later(wire, 5.0)
        assert failures(wire) == [str(ProviderError("The STT", "timeout"))]
        assert spoken(wire).rstrip() == APOLOGY
        await speak(wire, 4, 0.5)
        await silence(wire, 1.5)
        assert await said(wire) == [("assistant", APOLOGY), ("user", "and then"), ("assistant", "Fine.")]


async def test_a_failing_vad_is_reported_once() -> None:
    """Also if a single piece of audio has ninety frames."""

    def hear(frame: Audio) -> float:
        raise ProviderError("awkward", "unavailable")

    fakes = Fakes(vad=hear)
    async with fakes.session() as wire:
        wire.connection.receive_audio(samples(1, 2.9))
        await speak(wire, 1, 0.5)
        assert [each for each in failures(wire) if "faster than real time" not in each] == ["awkward is not available."]


@pytest.mark.parametrize("while_speaking", [False, True])
async def test_an_stt_that_dies_leaves_the_session_to_be_written_to(while_speaking: bool) -> None:
    """There is one error and one apology."""
    fakes = Fakes([Text("Fine.")])
    async with fakes.session(body={"services": {"stt": "mortal"}}) as wire:
        if while_speaking:
            await speak(wire, 1, 0.3)
        fakes.gate.set()
        await settle()
        await speak(wire, 1, 0.5)
        await silence(wire, 5.0)
        assert len(failures(wire)) == 1
        await write(wire)
        await silence(wire, 2.0)
        assert await said(wire) == [("assistant", APOLOGY), ("user", "go"), ("assistant", "Fine.")]


async def test_a_vad_that_returns_no_number_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    """The client and the log get the report."""

    def hear(frame: Audio) -> Any:
        return None

    fakes = Fakes(vad=hear)
    async with fakes.session() as wire:
        await speak(wire, 1, 2.0)
        assert len(failures(wire)) == 1
        assert [each.levelname for each in caplog.records] == ["ERROR"]
