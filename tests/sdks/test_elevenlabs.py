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
        ours = elevenlabs.vendor.requests[0]
        given = {"sent": ours.messages, "received": ours.sent}
        read = await sdk("check_elevenlabs.py", elevenlabs.vendor.url, fake.VOICE, given=given)
        theirs = elevenlabs.vendor.requests[1]
    assert read["sent"] == ["InitialiseContext", "SendTextMulti", "SendTextMulti", "FlushContext", "CloseContext"]
    assert read["received"] == [*["AudioOutputMulti"] * 6, "FinalOutputMulti"]
    spoken = [each["text"] for each in theirs.messages if each["text"].strip()]
    assert read["bytes"] == 2 * 24_000 * fake.LASTS * len("".join(spoken)) // 1000
    assert theirs.headers["xi-api-key"] == ours.headers["xi-api-key"]
    assert theirs.params == {name: ours.params[name] for name in ("model_id", "output_format")}
