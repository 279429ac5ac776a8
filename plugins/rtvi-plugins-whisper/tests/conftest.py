"""Speech for the tests from flite, as 16 kHz audio with a little silence around it."""

from __future__ import annotations

import subprocess
import wave
from collections.abc import AsyncIterator, Callable, Sequence
from functools import cache
from pathlib import Path

import pytest

from rtvi_plugins.kinds import Audio, STTRequest
from rtvi_plugins_whisper.stt import WhisperSTT

RATE = 16000
FRAME = 1024  # bytes of 32 ms

#: The same as for PocketSphinx, to compare the two.
SENTENCES = Path(__file__).parents[2] / "rtvi-plugins-pocketsphinx/tests/sentences.txt"


@pytest.fixture(scope="session")
def sentences() -> Sequence[str]:
    """Return sentences that are said at a reception."""
    return SENTENCES.read_text().splitlines()


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], bytes]:
    """`speech(voice, text)` returns PCM by one of flite's voices."""
    file = tmp_path_factory.mktemp("speech") / "said.wav"

    @cache
    def say(voice: str, text: str) -> bytes:
        command = ["flite", "-voice", voice, "-t", text, "-o", str(file)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        with wave.open(str(file)) as audio:
            assert (audio.getframerate(), audio.getnchannels()) == (RATE, 1)
            pcm: bytes = audio.readframes(audio.getnframes())
        return bytes(2 * RATE * 3 // 10) + pcm + bytes(2 * RATE * 3 // 10)

    return say


@pytest.fixture(scope="session")
def hear() -> Callable[[WhisperSTT, bytes], AsyncIterator[object]]:
    """`hear(stt, pcm)` returns the pieces of the transcription of an utterance."""
    return lambda stt, pcm: stt.transcribe(STTRequest(frames(pcm)))


async def frames(pcm: bytes) -> AsyncIterator[Audio]:
    """Yield the frames of an utterance, without delays."""
    for at in range(0, len(pcm), FRAME):
        yield Audio(pcm[at : at + FRAME], RATE)
