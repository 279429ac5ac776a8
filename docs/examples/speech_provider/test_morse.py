import tomllib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from importlib import import_module
from pathlib import Path

import pytest
from rtvi_plugins import ProviderError
from rtvi_plugins.kinds import Audio, STTRequest, Transcript, TTSPiece, TTSRequest, Usage, Word
from rtvi_plugins.testing import ManualClock, call, check_providers, host_for, play, settle, silence

import rtvi_plugins_morse as morse
from bot import telegraph

pytestmark = pytest.mark.anyio


async def one_by_one(items: Sequence[str]) -> AsyncGenerator[str]:
    """Yield sentences, as an LLM does."""
    for item in items:
        yield item


async def frames(audio: bytes) -> AsyncIterator[Audio]:
    """Yield audio in pieces of 32 ms, as a session does."""
    for at in range(0, len(audio), 1024):
        yield Audio(audio[at : at + 1024], 16_000)


async def spoken(*sentences: str) -> list[TTSPiece]:
    """Return all pieces from the TTS."""
    async with aclosing(one_by_one(sentences)) as text:
        return [piece async for piece in morse.MorseTTS().synthesize(TTSRequest(text))]


async def test_they_keep_the_contract() -> None:
    """They can be opened twice at the same time, close properly, and accept their own options."""
    await check_providers(morse)


async def test_the_stt_reads_the_tts() -> None:
    """The STT understands the TTS."""
    pieces = await spoken("Hello there.", "Bye!")
    audio = b"".join(piece.data for piece in pieces if isinstance(piece, Audio))
    transcripts = [piece async for piece in morse.MorseSTT().transcribe(STTRequest(frames(audio)))]
    assert transcripts[0] == Transcript("hello", final=False)
    assert transcripts[-1] == Transcript("hello there bye", final=True)


async def test_each_word_has_a_time() -> None:
    """The time is the length of the audio before the word."""
    pieces = await spoken("Hi there.", "Bye!")
    made = 0.0
    for piece in pieces:
        match piece:
            case Word():
                assert piece.start == pytest.approx(made)
            case Audio():
                made += piece.seconds
            case Usage():
                assert piece.characters == 13


async def test_a_sentence_is_spoken_before_the_next_is_taken() -> None:
    """The framework needs this order to find the text of each piece of audio."""
    taken: list[str] = []

    async def sentences() -> AsyncIterator[str]:
        for each in ("One.", "Two."):
            taken.append(each)
            yield each

    words = [
        (piece.text, len(taken))
        async for piece in morse.MorseTTS().synthesize(TTSRequest(sentences()))
        if isinstance(piece, Word)
    ]
    assert words == [("One.", 1), ("Two.", 2)]


async def test_text_without_morse_code_is_a_provider_error() -> None:
    """Its category names the cause."""
    with pytest.raises(ProviderError) as failed:
        await spoken("Привет")
    assert failed.value.category == "bad-request"


async def test_silence_is_an_empty_transcript() -> None:
    """The bot does not answer an empty transcript."""
    heard = [piece async for piece in morse.MorseSTT().transcribe(STTRequest(frames(bytes(32_000))))]
    assert heard == [Transcript("", final=True)]


async def test_a_conversation_in_morse() -> None:
    """The user and the bot both use Morse code."""
    clock = ManualClock()
    async with host_for(telegraph, morse, clock=clock, dev=True) as host, call(host) as line:
        await settle()
        await play(line, clock, morse.tap("hi", 600))
        await silence(line, clock, 5.0)
        assert [each["text"] for each in line.received("user-llm-text")] == ["hi"]
        assert [each["text"] for each in line.received("bot-tts-text")] == ["hi"]
        heard = [
            piece
            async for piece in morse.MorseSTT().transcribe(
                STTRequest(frames(b"".join(each.data for each in line.audio)))
            )
        ]
        assert heard[-1] == Transcript("hi", final=True)


def test_pyproject_names_what_the_module_has() -> None:
    """Each entry point leads to a service."""
    project = tomllib.loads((Path(__file__).parent / "pyproject.toml").read_text("utf-8"))["project"]
    named = project["entry-points"]["rtvi_plugins"]
    assert sorted(named) == ["stt.morse", "tts.morse", "vad.morse"]
    assert {import_module(each) for each in named.values()} == {morse}
