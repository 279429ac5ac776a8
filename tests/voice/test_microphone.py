"""The microphone is switched off, nothing arrives, or audio arrives in odd pieces; and push-to-talk."""

from __future__ import annotations

from array import array
from collections.abc import AsyncGenerator

import pytest

from rtvi_plugins import LLM, STT, TTS, VAD, Session, bot, converse
from rtvi_plugins.kinds import (
    Audio,
    STTPiece,
    STTRequest,
    Text,
    Transcript,
)

from ..fakes.conversation import said, silence, speak, types, wait
from ..fakes.providers import CLIENT, SERVICES, Fakes
from ..fakes.wire import settle

pytestmark = pytest.mark.anyio


@bot(services={**SERVICES}, client=CLIENT, public=True)
async def push_to_talk(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
    """A bot without a VAD."""
    await converse(session, llm=llm, stt=stt, tts=tts)


async def test_silence_is_inferred_when_nothing_comes() -> None:
    """Published clients send nothing while their microphone is off."""
    fakes = Fakes([Text("Fine.")])
    async with fakes.session() as wire:
        await speak(wire, 1, 0.5)
        await wait(wire, 1.5)
        assert await said(wire) == [("user", "hello there"), ("assistant", "Fine.")]


async def test_a_microphone_that_is_switched_off_ends_what_was_said() -> None:
    """It ends at once, without a silence."""
    fakes = Fakes([Text("Fine.")])
    async with fakes.session() as wire:
        await speak(wire, 1, 0.5)
        wire.connection.microphone(False)
        await settle()
        assert "user-stopped-speaking" in types(wire)


async def test_a_microphone_that_is_off_is_not_heard_until_it_is_on() -> None:
    """WebRTC continues to send frames while a track is disabled, and some frames are late."""
    fakes = Fakes([Text("Fine.")], [Text("Well.")])
    async with fakes.session() as wire:
        await speak(wire, 1, 0.5)
        wire.connection.microphone(False)
        await speak(wire, 3, 2.0)
        assert await said(wire) == [("user", "hello there"), ("assistant", "Fine.")]
        wire.connection.microphone(True)
        await speak(wire, 4, 0.5)
        await silence(wire, 1.5)
        assert (await said(wire))[2:] == [("user", "and then"), ("assistant", "Well.")]


async def test_without_a_vad_a_turn_is_what_comes_while_the_microphone_is_on() -> None:
    """This is push-to-talk: silence in a turn does not end it."""
    fakes = Fakes([Text("Fine.")])
    async with fakes.session(push_to_talk) as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 2.0)
        await speak(wire, 4, 0.5)
        assert len(fakes.requests) == 0
        await wait(wire, 1.5)
        assert await said(wire) == [("user", "hello there and then"), ("assistant", "Fine.")]


async def test_audio_from_before_a_gap_is_not_part_of_the_next_utterance() -> None:
    """The next utterance may come a minute later."""
    given: list[int] = []

    async def transcribe(request: STTRequest) -> AsyncGenerator[STTPiece]:
        async for audio in request.audio:
            given.extend(array("h", audio.data))
        yield Transcript("hello", final=True)

    fakes = Fakes([Text("Fine.")], stt=transcribe)
    async with fakes.session() as wire:
        await speak(wire, 7, 0.08)
        await wait(wire, 60.0)
        await speak(wire, 2, 0.5)
        await silence(wire, 1.0)
    assert 2 in given
    assert 7 not in given


async def test_a_piece_that_is_cut_within_a_sample_does_not_deafen_the_bot() -> None:
    """The audio after it is heard correctly."""
    fakes = Fakes([Text("Fine.")])
    async with fakes.session() as wire:
        wire.connection.receive_audio(Audio(b"\0", 16_000))
        await speak(wire, 1, 0.5)
        await silence(wire, 1.5)
        assert await said(wire) == [("user", "hello there"), ("assistant", "Fine.")]
