"""What is said, how it sounds, and what cannot be said."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import pairwise

import anyio
import pytest
from listening import Heard, listen, pid_of, texts

from rtvi_plugins.kinds import TTS, Audio, TTSRequest, Usage, Word
from rtvi_plugins_espeak.speech import EspeakTTS, open_speech
from rtvi_plugins_espeak.tts import configure

pytestmark = pytest.mark.anyio

SENTENCE = "The weather will be fine tomorrow, with a little wind from the west."


async def test_it_is_a_tts_that_speaks_16_bit_mono(tts: EspeakTTS) -> None:
    """Pieces are short, so that a transport can stop quickly, and contain whole samples."""
    assert isinstance(tts, TTS)
    heard = await listen(tts, SENTENCE)
    assert {(piece.rate, piece.channels) for piece in heard.audio} == {(22050, 1)}
    assert max(piece.seconds for piece in heard.audio) <= 0.05
    assert all(piece.data and len(piece.data) % 2 == 0 for piece in heard.audio)


async def test_a_sentence_takes_its_time_and_is_heard(tts: EspeakTTS) -> None:
    """Thirteen words at 165 per minute take about four seconds, and are not silent."""
    heard = await listen(tts, SENTENCE)
    assert 3 < heard.seconds < 6
    assert 0.02 < heard.loudness < 0.5


async def test_each_word_comes_before_the_audio_that_it_begins_in(tts: EspeakTTS) -> None:
    """Words are those of the text with their punctuation, in its order, and a transport gets each in time."""
    heard = await listen(tts, SENTENCE)
    assert heard.said == SENTENCE.split()
    until = 0.0
    for piece in heard.pieces:
        if isinstance(piece, Word):
            assert piece.start >= until - 1e-6
        elif isinstance(piece, Audio):
            until += piece.seconds
    assert heard.words[-1].start < heard.seconds
    assert all(one.start < other.start for one, other in pairwise(heard.words))


async def test_words_count_from_the_beginning_of_the_whole_request(tts: EspeakTTS) -> None:
    """The second piece of text begins where the audio of the first ends."""
    first = await listen(tts, "One two.")
    both = await listen(tts, "One two.", "Three four.")
    assert both.said == ["One", "two.", "Three", "four."]
    assert both.words[2].start == pytest.approx(first.seconds, rel=0.1)  # pyright: ignore[reportUnknownMemberType]


async def test_a_piece_is_spoken_before_the_next_is_asked_for(tts: EspeakTTS) -> None:
    """All audio of one piece of text comes before the next piece is taken. So the two can be told apart."""
    steps: list[str] = []

    async def text() -> AsyncGenerator[str]:
        for piece in ("One two three.", "Four."):
            steps.append(f"asked for {piece}")
            yield piece

    async for piece in tts.synthesize(TTSRequest(text())):
        steps += [piece.text] if isinstance(piece, Word) else []
    assert steps == ["asked for One two three.", "One", "two", "three.", "asked for Four.", "Four."]


async def test_the_characters_are_counted_at_the_end(tts: EspeakTTS) -> None:
    """Every character of the text counts, as with other vendors."""
    assert (await listen(tts, "One.", "Two.")).usage == Usage(characters=8, model="espeak-ng")


@pytest.mark.parametrize("pieces", [(), ("",), ("   ", "\n", "\x00\x00")])
async def test_nothing_to_say_is_silence(tts: EspeakTTS, pieces: tuple[str, ...]) -> None:
    """An empty text has no audio, and causes no error."""
    assert (await listen(tts, *pieces)).audio == []


# ---- how it sounds ---------------------------------------------------------------------------------------------------


async def test_speed_is_heard(tts: EspeakTTS) -> None:
    """Three times as many words per minute take less than half the time."""
    configure(tts, words_per_minute=100)
    slow = await listen(tts, SENTENCE)
    configure(tts, words_per_minute=300)
    assert (await listen(tts, SENTENCE)).seconds < slow.seconds / 2


async def test_pitch_is_heard(tts: EspeakTTS) -> None:
    """A man's voice is near 100 Hz. The option makes it higher or lower."""
    heard: list[float] = []
    for pitch in (10, 50, 90):
        configure(tts, pitch=pitch)
        heard.append((await listen(tts, SENTENCE)).pitch)
    assert 60 < heard[0] < heard[1] * 0.9
    assert 80 < heard[1] < 140
    assert heard[1] * 1.1 < heard[2] < 250


async def test_a_variant_is_another_voice(tts: EspeakTTS) -> None:
    """A woman's voice is higher than a man's with the same pitch option."""
    configure(tts, voice="en-us+f3")
    woman = (await listen(tts, SENTENCE)).pitch
    configure(tts, voice="en-us")
    assert woman > (await listen(tts, SENTENCE)).pitch * 1.3


async def test_volume_and_gaps_are_heard(tts: EspeakTTS) -> None:
    """A higher volume is louder, and there is a gap of half a second between words."""
    configure(tts, volume=50)
    quiet = await listen(tts, SENTENCE)
    configure(tts, volume=100, word_gap=50)
    loud = await listen(tts, SENTENCE)
    assert quiet.loudness < loud.loudness
    assert loud.seconds > quiet.seconds + 12 * 0.3


async def test_languages_differ(tts: EspeakTTS) -> None:
    """The same letters have other sounds in another language."""
    heard: list[Heard] = []
    for voice in ("en-us", "de", "fr-fr"):
        configure(tts, voice=voice)
        heard.append(await listen(tts, "Restaurant original."))
    assert len({len(each.samples) for each in heard}) == 3


async def test_what_is_set_while_it_speaks_is_heard_the_next_time(tts: EspeakTTS) -> None:
    """The voice does not change within an utterance."""
    usual = await listen(tts, "One.", SENTENCE)
    pieces: list[Audio] = []
    async for piece in tts.synthesize(TTSRequest(texts("One.", SENTENCE))):
        configure(tts, words_per_minute=400)
        pieces += [piece] if isinstance(piece, Audio) else []
    seconds = sum(piece.seconds for piece in pieces)
    assert seconds == pytest.approx(usual.seconds, rel=0.05)  # pyright: ignore[reportUnknownMemberType]
    assert (await listen(tts, "One.", SENTENCE)).seconds < usual.seconds / 2


# ---- any text there is -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("voice", "text", "words"),
    [
        ("ru", "Привет, мир.", ["Привет,", "мир."]),
        ("ar", "مرحبا بالعالم", ["مرحبا", "بالعالم"]),
        ("hi", "नमस्ते दुनिया।", ["नमस्ते", "दुनिया।"]),
        ("cmn", "你好，世界。", ["你", "好，", "世", "界。"]),
        ("en-us", "It's 1,234.50 well-known dollars.", ["It's", "1,234.50", "well-known", "dollars."]),
    ],
)
async def test_other_scripts_are_spoken_word_by_word(tts: EspeakTTS, voice: str, text: str, words: list[str]) -> None:
    """A word is what is between spaces, or what espeak treats as one in a script without spaces."""
    configure(tts, voice=voice)
    heard = await listen(tts, text)
    assert heard.said == words
    assert heard.loudness > 0.02


async def test_markup_is_read_out_and_does_nothing(tts: EspeakTTS) -> None:
    """The text of an LLM is plain text: not SSML, phonemes or espeak's commands after a control character."""
    plain = await listen(tts, SENTENCE)
    ssml = await listen(tts, f'<prosody volume="silent" rate="x-fast">{SENTENCE}</prosody>')
    assert ssml.seconds > plain.seconds + 1
    assert (await listen(tts, "[[h@loU]] one.")).said == ["[[h@loU]]", "one."]
    commanded = await listen(tts, f"\x010A \x01450S {SENTENCE}")
    assert commanded.loudness > plain.loudness / 2
    assert commanded.seconds > plain.seconds


@pytest.mark.parametrize(
    "text", ["one\x00two", "one \ud800 two", "one\udfff\ud800", "\U0010ffff one", "one\r\n\ttwo 😀"]
)
async def test_what_is_no_text_is_passed_over(tts: EspeakTTS, text: str) -> None:
    """The rest of the text is said, by the same process."""
    before = await pid_of(tts)
    heard = await listen(tts, text)
    assert "one" in " ".join(heard.said)
    assert heard.seconds > 0.2
    assert await pid_of(tts) == before


async def test_a_very_long_text_is_spoken_as_it_is_listened_to(tts: EspeakTTS) -> None:
    """A million characters are hours of speech. The first seconds are available at once."""
    text = "This goes on and on. " * 50_000
    seconds = 0.0
    with anyio.fail_after(30):
        async with aclosing(texts(text)) as source, aclosing(tts.synthesize(TTSRequest(source))) as speech:
            async for piece in speech:
                seconds += piece.seconds if isinstance(piece, Audio) else 0
                if seconds > 60:
                    break
    assert seconds > 60


async def test_a_word_without_end_is_cut(tts: EspeakTTS) -> None:
    """Text without spaces is divided as well, and every part of it is said."""
    assert (await listen(tts, "a" * 1000)).seconds > 3


async def test_each_session_has_its_own_manner(tts: EspeakTTS) -> None:
    """Sessions share a process, but the options of one do not affect another."""
    async with open_speech() as other:
        configure(other, voice="de", words_per_minute=400, pitch=90)
        alone = await listen(tts, SENTENCE)
        heard: dict[str, Heard] = {}

        async def say(name: str, speech: EspeakTTS) -> None:
            heard[name] = await listen(speech, *[SENTENCE] * 5)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(say, "one", tts)
            tasks.start_soon(say, "other", other)
    assert heard["one"].seconds == pytest.approx(alone.seconds * 5, rel=0.05)  # pyright: ignore[reportUnknownMemberType]
    assert heard["one"].pitch == pytest.approx(alone.pitch, rel=0.1)  # pyright: ignore[reportUnknownMemberType]
    assert heard["other"].seconds < alone.seconds * 3
    assert heard["other"].pitch > alone.pitch * 1.1
