"""ElevenLabs' SDK speaks over the fake of ElevenLabs, and has a type for every message of our provider."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from rtvi_plugins.kinds import TTSRequest
from rtvi_plugins.session import Secret
from rtvi_plugins_elevenlabs.tts import elevenlabs_tts, speech

from .official import fake_of, sdk

pytestmark = pytest.mark.anyio

fake = fake_of("rtvi-plugins-elevenlabs", "elevenlabs_server")
KEY = Secret("key-of-a-test")


async def text() -> AsyncIterator[str]:
    """Yield two sentences."""
    yield "Good morning."
    yield "Bye!"


async def test_speech() -> None:
    """The SDK receives the whole text, and knows the messages of several contexts."""
    async with fake.elevenlabs() as elevenlabs:
        async with elevenlabs_tts(KEY, base_url=elevenlabs.vendor.url) as tts:
            speech(tts, stability=0.5, speed=0.9, chunk_length_schedule=[50])
            assert [piece async for piece in tts.synthesize(TTSRequest(text()))]
            speech(tts, "eleven_v4_turbo", stability=0.5)
            assert [piece async for piece in tts.synthesize(TTSRequest(text()))]
        ours, dialogue = elevenlabs.vendor.requests
        given = {
            "sent": ours.messages,
            "received": ours.sent,
            "dialogue_sent": dialogue.messages,
            "dialogue_received": dialogue.sent,
        }
        read = await sdk("check_elevenlabs.py", elevenlabs.vendor.url, fake.VOICE, given=given)
        theirs = elevenlabs.vendor.requests[2]
    assert read["sent"] == ["InitialiseContext", "SendTextMulti", "SendTextMulti", "FlushContext", "CloseContext"]
    assert read["received"] == [*["AudioOutputMulti"] * 6, "FinalOutputMulti"]
    assert read["dialogue_sent"] == ["ClientMessageMulti"] * 6
    audio, turn = "AudioChunkMulti", "FinalAudioForTurnMulti"
    assert read["dialogue_received"] == [*[audio] * 4, turn, *[audio] * 2, turn, turn, "FinalMulti"]
    spoken = [each["text"] for each in theirs.messages if each["text"].strip()]
    assert read["bytes"] == 2 * 24_000 * fake.LASTS * len("".join(spoken)) // 1000
    assert theirs.headers["xi-api-key"] == ours.headers["xi-api-key"]
    assert theirs.params == {name: ours.params[name] for name in ("model_id", "output_format")}
