"""Cartesia's SDK reads the fake of Cartesia, and knows every field and command that our providers send."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from rtvi_plugins.kinds import Audio, ListenRequest, Pause, Settled, TTSRequest
from rtvi_plugins.session import Secret
from rtvi_plugins_cartesia.stt import cartesia_stt, recognition
from rtvi_plugins_cartesia.tts import cartesia_tts, speech

from .official import fake_of, sdk

pytestmark = pytest.mark.anyio

fake = fake_of("rtvi-plugins-cartesia", "cartesia_server")
KEY = Secret("key-of-a-test")


async def text() -> AsyncIterator[str]:
    """Yield two sentences."""
    yield "Good morning."
    yield "Bye!"


async def audio() -> AsyncIterator[Audio | Pause]:
    """Return a second of speech."""
    for _ in range(33):
        yield Audio(b"\xff\x1f" * 512, 16_000)
    yield Pause()


async def test_speech() -> None:
    """The SDK reads the audio and the times of words of a context with several texts, and a cancellation."""
    async with fake.cartesia() as cartesia:
        async with cartesia_tts(KEY, base_url=cartesia.vendor.url) as tts:
            speech(tts, "sonic-3", "my-voice", "fr", 1.2, 0.8, "calm", "dict", 200)
            assert [piece async for piece in tts.synthesize(TTSRequest(text()))]
        ours = cartesia.vendor.requests[0]
        cancel = {"context_id": "other", "cancel": True}
        read = await sdk("check_cartesia.py", cartesia.vendor.url, "speak", given=[cancel, *ours.messages])
        theirs = cartesia.vendor.requests[1]
    assert read["misfits"] == []
    assert (theirs.path, theirs.messages[1:]) == (ours.path, ours.messages)
    for name in ("authorization", "cartesia-version"):
        assert theirs.headers[name] == ours.headers[name]
    assert [each["type"] for each in read["read"]] == [*["chunk", "timestamps"] * 3, "done"]
    assert read["read"][5]["word_timestamps"] == {"words": ["Bye!"], "start": [0.2], "end": [0.3]}


async def test_a_failure() -> None:
    """The SDK reads the status of a failure."""
    async with fake.cartesia() as cartesia:
        read = await sdk("check_cartesia.py", cartesia.vendor.url, "speak", given=[{"context_id": "1"}])
    (error,) = read["read"]
    assert (error["type"], error["status_code"], error["context_id"]) == ("error", 400, "1")


async def test_recognition() -> None:
    """The SDK reads the parts of a transcript, and the answers to both commands."""
    async with fake.cartesia() as cartesia:
        async with cartesia_stt(KEY, base_url=cartesia.vendor.url) as stt:
            recognition(stt, "ink-whisper", "en", ["Rivendell"], 0.5, 0.1)
            async with aclosing(stt.listen(ListenRequest(audio()))) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Settled):
                        break
        ours = cartesia.vendor.requests[0]
        assert await ours.outcome() == "answered"
        sent = [len(each) if isinstance(each, bytes) else each for each in ours.messages]
        given = {"params": {**ours.params, "keyterm": ["Rivendell"]}, "messages": sent}
        read = await sdk("check_cartesia.py", cartesia.vendor.url, "listen", given=given)
        theirs = cartesia.vendor.requests[1]
    # The SDK has its own spelling of lists, which the vendor reads too.
    names = {name.partition("[")[0] for name in theirs.params}
    assert (theirs.path, names, theirs.messages) == (ours.path, set(ours.params), ours.messages)
    assert [each["text"] for each in read if each["type"] == "transcript" and each["is_final"]] == [
        "one two",
        " three four five",
    ]
    assert [each["type"] for each in read[-2:]] == ["flush_done", "done"]


async def test_recognition_of_turns() -> None:
    """The SDK reads the turn and its end."""
    async with fake.cartesia() as cartesia:
        async with cartesia_stt(KEY, base_url=cartesia.vendor.url) as stt:
            recognition(stt, turn_start_threshold=0.7, turn_end_threshold=0.3, turn_end_timeout_ms=2000)
            async with aclosing(stt.listen(ListenRequest(audio(), endpointing=True))) as pieces:
                assert isinstance([piece async for piece in pieces][-1], Settled)
        ours = cartesia.vendor.requests[0]
        sent = [len(each) if isinstance(each, bytes) else each for each in ours.messages]
        given = {"params": ours.params, "messages": sent}
        read = await sdk("check_cartesia.py", cartesia.vendor.url, "find-turns", given=given)
        theirs = cartesia.vendor.requests[1]
    assert (theirs.path, theirs.params, theirs.messages) == (ours.path, ours.params, ours.messages)
    assert [each["type"] for each in read[:3]] == ["connected", "turn.start", "turn.update"]
    assert read[-1]["transcript"] == "one two three four five"
