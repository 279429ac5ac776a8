"""The echo as an STT."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from rtvi_plugins.kinds import STT, Audio, STTPiece, STTRequest, Transcript, Usage
from rtvi_plugins_echo.stt import EchoSTT, configure, echo_stt

pytestmark = pytest.mark.anyio


async def audio(frames: int) -> AsyncIterator[Audio]:
    """Yield frames of a quarter of a second."""
    for _ in range(frames):
        yield Audio(b"\0\0" * 4000, 16000)


async def hear(stt: EchoSTT, frames: int) -> list[STTPiece]:
    """Return the transcripts of this many quarters of a second."""
    return [piece async for piece in stt.transcribe(STTRequest(audio(frames)))]


async def test_it_opens_as_an_stt() -> None:
    """The service needs no key, no framework and no network."""
    async with echo_stt() as stt:
        assert isinstance(stt, STT)


async def test_it_tells_the_seconds_that_it_heard() -> None:
    """An interim transcript follows each second, and a final one follows the end."""
    assert await hear(EchoSTT(), 9) == [
        Transcript("I heard 1 seconds of audio.", final=False),
        Transcript("I heard 2 seconds of audio.", final=False),
        Transcript("I heard 2.25 seconds of audio.", final=True),
        Usage(model="echo"),
    ]


async def test_a_script_is_heard_text_by_text() -> None:
    """After the script, it counts the seconds again."""
    stt = EchoSTT()
    configure(stt, script=["book a room", "for Ada"])
    final = [(await hear(stt, 1))[0] for _ in range(3)]
    assert final == [
        Transcript("book a room", final=True),
        Transcript("for Ada", final=True),
        Transcript("I heard 0.25 seconds of audio.", final=True),
    ]
