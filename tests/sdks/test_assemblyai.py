"""AssemblyAI's SDK reads the fake of AssemblyAI, and knows every parameter and message that our provider sends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from rtvi_plugins.kinds import Audio, ListenRequest, Pause, Settled
from rtvi_plugins.session import Secret
from rtvi_plugins_assemblyai.stt import assemblyai_stt, recognition

from .official import fake_of, sdk

pytestmark = pytest.mark.anyio

fake = fake_of("rtvi-plugins-assemblyai", "assemblyai_server")
KEY = Secret("key-of-a-test")


async def audio() -> AsyncIterator[Audio | Pause]:
    """Return a second of speech."""
    for _ in range(33):
        yield Audio(b"\xff\x1f" * 512, 16_000)
    yield Pause()


async def test_recognition() -> None:
    """The SDK reads partial and formatted turns, and the end of the session."""
    async with fake.assemblyai() as assemblyai:
        async with assemblyai_stt(KEY, base_url=assemblyai.vendor.url) as stt:
            recognition(
                stt,
                speech_model="universal-streaming-multilingual",
                keyterms_prompt=["Rivendell"],
                end_of_turn_confidence_threshold=0.9,
                min_turn_silence=300,
                max_turn_silence=900,
                vad_threshold=0.6,
                language_detection=True,
                language_codes=["de"],
                prompt="A hotel.",
                filter_profanity=True,
                speaker_labels=True,
                redact_pii=True,
            )
            async with aclosing(stt.listen(ListenRequest(audio()))) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Settled):
                        break
        ours = assemblyai.vendor.requests[0]
        assert await ours.outcome() == "answered"
        sent = [len(each) if isinstance(each, bytes) else each for each in ours.messages]
        given = {"params": ours.params, "messages": sent}
        read = await sdk("check_assemblyai.py", assemblyai.vendor.url, given=given)
        theirs = assemblyai.vendor.requests[1]
    assert read["unknown"] == []
    assert (theirs.path, theirs.messages) == (ours.path, ours.messages)
    for name in ("authorization", "assemblyai-version"):
        assert theirs.headers[name] == ours.headers[name]
    lists = {name: theirs.params[name] for name in ("keyterms_prompt", "language_codes")}
    assert lists == {name: ours.params[name] for name in lists}
    assert theirs.params.keys() == ours.params.keys()
    turns = [each["transcript"] for each in read["read"] if each["type"] == "Turn" and each["end_of_turn"]]
    assert turns == ["one two three four five", "One two three four five."]
    assert [read["read"][at]["type"] for at in (0, 1, -1)] == ["Begin", "Turn", "Termination"]
