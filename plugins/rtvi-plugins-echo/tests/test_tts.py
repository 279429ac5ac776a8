"""The echo as a TTS, and its tones."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from itertools import pairwise

import pytest

from rtvi_plugins.kinds import TTS, Audio, TTSPiece, TTSRequest, Usage, Word
from rtvi_plugins_echo.tone import loudness, tone
from rtvi_plugins_echo.tts import EchoTTS, configure, echo_tts, said

pytestmark = pytest.mark.anyio


async def pieces(*texts: str) -> AsyncIterator[str]:
    """Yield text."""
    for text in texts:
        yield text


async def speak(tts: EchoTTS, *texts: str) -> list[TTSPiece]:
    """Return the pieces of speech for these pieces of text."""
    return [piece async for piece in tts.synthesize(TTSRequest(pieces(*texts)))]


async def test_it_opens_as_a_tts_at_the_operators_rate() -> None:
    """The sample rate is a service option, which is fixed while the service is open."""
    async with echo_tts(sample_rate=8000) as tts:
        assert isinstance(tts, TTS)
        spoken = await speak(tts, "one")
    assert [(piece.rate, piece.channels) for piece in spoken if isinstance(piece, Audio)] == [(8000, 1)]


async def test_each_word_is_a_tone_where_the_last_one_ended() -> None:
    """Each word has the second at which its tone starts, across pieces of text."""
    tts = EchoTTS()
    configure(tts, seconds_per_word=0.5)
    spoken = await speak(tts, "one two ", "three")
    assert [piece for piece in spoken if isinstance(piece, Word)] == [
        Word("one", 0),
        Word("two", 0.5),
        Word("three", 1),
    ]
    assert sum(piece.seconds for piece in spoken if isinstance(piece, Audio)) == 1.5
    assert spoken[-1] == Usage(characters=13, model="echo")


async def test_a_piece_is_spoken_before_the_next_is_known() -> None:
    """The first tone does not wait for the last text."""
    taken: list[str] = []

    async def text() -> AsyncGenerator[str]:
        for piece in ("one", "two"):
            taken.append(piece)
            yield piece

    async with aclosing(text()) as source, aclosing(EchoTTS().synthesize(TTSRequest(source))) as speech:
        assert await anext(speech) == Word("one", 0)
    assert taken == ["one"]


async def test_what_was_said_is_remembered() -> None:
    """A test can ask for it, even over the protocol."""
    tts = EchoTTS()
    await speak(tts, "one", "two")
    assert await said(tts) == ["one", "two"]


async def test_only_the_last_hundred_pieces_are_remembered() -> None:
    """The memory does not grow in a long session."""
    tts = EchoTTS(seconds_per_word=0.01)
    await speak(tts, *map(str, range(150)))
    assert await said(tts) == [str(number) for number in range(50, 150)]


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 48000])
def test_a_tone_is_16_bit_pcm_of_its_pitch_and_length(rate: int) -> None:
    """The tone crosses zero twice in each period, and has the stated length."""
    audio = tone(100, 0.5, rate)
    samples = [int.from_bytes(audio.data[at : at + 2], "little", signed=True) for at in range(0, len(audio.data), 2)]
    crossings = sum((one < 0) != (other < 0) for one, other in pairwise(samples))
    assert audio.seconds == 0.5
    assert 98 <= crossings <= 102


def test_loudness_is_between_silence_and_full_scale() -> None:
    """The loudness of a sine is its peak divided by the square root of two."""
    assert loudness(tone(440, 0.5, 16000, volume=1)) == pytest.approx(0.7071, abs=0.001)  # pyright: ignore[reportUnknownMemberType]
    assert loudness(Audio(b"\0\0" * 100, 16000)) == 0
    assert loudness(Audio(b"", 16000)) == 0
