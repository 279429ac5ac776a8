"""Deepgram's SDK reads the fake of Deepgram, and knows every parameter and message that our providers send."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from rtvi_plugins.kinds import Audio, ListenRequest, Pause, Settled, TTSRequest
from rtvi_plugins.session import Secret
from rtvi_plugins_deepgram.stt import deepgram_stt, recognition
from rtvi_plugins_deepgram.tts import deepgram_tts, voice

from .official import fake_of, sdk

pytestmark = pytest.mark.anyio

fake = fake_of("rtvi-plugins-deepgram", "deepgram_server")
KEY = Secret("key-of-a-test")
#: Deepgram spells yes and no as text.
EVERY_OPTION: dict[str, Any] = {
    "model": "nova-3",
    "language": "multi",
    "keyterm": ["Rivendell"],
    "numerals": True,
    "profanity_filter": True,
    "redact": ["pci"],
    "diarize_model": "latest",
    "endpointing": 100,
    "utterance_end_ms": 1000,
    "mip_opt_out": True,
}


async def speech() -> AsyncIterator[Audio | Pause]:
    """Return a second of speech."""
    for _ in range(33):
        yield Audio(b"\xff\x1f" * 512, 16_000)
    yield Pause()


async def recognised(deepgram: Any, what: str, **options: Any) -> tuple[Any, list[Any]]:
    """Recognise speech with our provider, and again with the SDK. Return our request, and what the SDK reads."""
    async with deepgram_stt(KEY, base_url=deepgram.vendor.url) as stt:
        recognition(stt, **options)
        async with aclosing(stt.listen(ListenRequest(speech()))) as pieces:
            async for piece in pieces:
                if isinstance(piece, Settled):
                    break
    ours = deepgram.vendor.requests[0]
    await ours.outcome()
    sent = [len(each) if isinstance(each, bytes) else each for each in ours.messages]
    read = await sdk("check_deepgram.py", deepgram.vendor.url, what, given={"params": ours.params, "messages": sent})
    theirs = deepgram.vendor.requests[1]
    assert (theirs.path, theirs.params, theirs.messages) == (ours.path, ours.params, ours.messages)
    assert theirs.headers["authorization"] == ours.headers["authorization"]
    return ours, read


async def test_recognition() -> None:
    """The SDK reads the results, and the summary at the end."""
    async with fake.deepgram() as deepgram:
        _, read = await recognised(deepgram, "listen", **EVERY_OPTION)
    texts = [each["channel"]["alternatives"][0]["transcript"] for each in read if each["type"] == "Results"]
    assert texts[:2] == ["one", "one two"]
    assert texts[-1] == "one two three four five"
    assert [each["from_finalize"] for each in read if each["type"] == "Results"][-1]
    assert read[-1]["duration"] == pytest.approx(1.056)


async def test_recognition_in_turns() -> None:
    """The SDK reads the turn, and why it ended."""
    flux = {"model": "flux-general-multi", "language_hint": ["de"], "eot_threshold": 0.9, "eot_timeout_ms": 3000}
    common = {name: EVERY_OPTION[name] for name in ("keyterm", "numerals", "profanity_filter", "mip_opt_out")}
    async with fake.deepgram() as deepgram:
        ours, read = await recognised(deepgram, "listen-in-turns", **flux, **common, redact=["numbers"])
    assert ours.messages[-2:] == [{"type": "ForceEndTurn"}, {"type": "CloseStream"}]
    assert [each["type"] for each in read[:2]] == ["Connected", "TurnInfo"]
    assert (read[-1]["event"], read[-1]["trigger"], read[-1]["languages"]) == ("EndOfTurn", "manual", ["de"])
    assert read[-1]["transcript"] == "one two three four five"


async def test_speech() -> None:
    """The SDK reads the audio, and the answers to Flush and Clear."""

    async def text() -> AsyncIterator[str]:
        yield "Good morning."

    async with fake.deepgram() as deepgram:
        async with deepgram_tts(KEY, base_url=deepgram.vendor.url) as tts:
            voice(tts, speed=0.9, mip_opt_out=True)
            assert [piece async for piece in tts.synthesize(TTSRequest(text()))]
        ours = deepgram.vendor.requests[0]
        given = {"params": ours.params, "messages": [*ours.messages, {"type": "Clear"}]}
        read = await sdk("check_deepgram.py", deepgram.vendor.url, "speak", given=given)
        theirs = deepgram.vendor.requests[1]
    assert (theirs.path, theirs.params) == (ours.path, ours.params)
    assert theirs.messages[:2] == ours.messages
    assert theirs.headers["authorization"] == ours.headers["authorization"]
    assert [each if each == "audio" else each["type"] for each in read] == [
        "Metadata",
        *["audio"] * 4,
        "Flushed",
        "Cleared",
    ]


async def test_speech_in_turns() -> None:
    """The SDK reads the audio, and the summary at the end of the turn."""

    async def text() -> AsyncIterator[str]:
        yield "Good morning."
        yield "Bye!"

    async with fake.deepgram() as deepgram:
        async with deepgram_tts(KEY, base_url=deepgram.vendor.url) as tts:
            voice(tts, "flux-haley-en", speed=0.9, mip_opt_out=True)
            assert [piece async for piece in tts.synthesize(TTSRequest(text()))]
        ours = deepgram.vendor.requests[0]
        given = {"params": ours.params, "messages": ours.messages}
        read = await sdk("check_deepgram.py", deepgram.vendor.url, "speak-in-turns", given=given)
        theirs = deepgram.vendor.requests[1]
    assert (theirs.path, theirs.params) == (ours.path, ours.params)
    assert theirs.messages[:-1] == ours.messages
    types = [each["type"] for each in read if each != "audio"]
    assert types == ["Connected", "SpeechStarted", "Flushed", "SpeechMetadata"]
    assert read.count("audio") == 6
