"""Speech for the tests, from the programs flite and espeak-ng, as 16 kHz audio in frames of 32 ms."""

from __future__ import annotations

import importlib
import subprocess
import wave
from collections.abc import AsyncIterator, Callable, Sequence
from functools import cache
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from rtvi_plugins.kinds import Audio, STTRequest
from rtvi_plugins_pocketsphinx.stt import PocketSphinxSTT

Resample = Callable[["NDArray[np.int16]", int, int], "NDArray[np.int16]"]
resample = cast("Resample", importlib.import_module("soxr").resample)  # it tells no types

RATE = 16000
FRAME = 1024  # bytes of 32 ms

#: The tests of other recognisers, and a benchmark, use them too.
SENTENCES = Path(__file__).with_name("sentences.txt").read_text().splitlines()

#: None of these is one of those above.
OTHERS = """\
the quick brown fox jumps over the lazy dog
my sister plays the violin in an orchestra
seven green bottles are hanging on the wall
can you tell me how to fix a bicycle""".splitlines()


@pytest.fixture(scope="session")
def sentences() -> Sequence[str]:
    """Return sentences that are said at a reception."""
    return SENTENCES


@pytest.fixture(scope="session")
def others() -> Sequence[str]:
    """Return sentences that are said elsewhere."""
    return OTHERS


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], bytes]:
    """`speech(voice, text)` returns PCM with silence around it. The voices are flite's, and `espeak-ng`."""
    file = tmp_path_factory.mktemp("speech") / "said.wav"

    @cache
    def say(voice: str, text: str) -> bytes:
        flite = ["flite", "-voice", voice, "-t", text, "-o", str(file)]
        command = ["espeak-ng", "-v", "en-us", "-w", str(file), text] if voice == "espeak-ng" else flite
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return bytes(2 * RATE * 3 // 10) + read(file) + bytes(2 * RATE * 3 // 10)

    return say


def read(file: Path) -> bytes:
    """Return a mono WAV file's samples at 16 kHz."""
    with wave.open(str(file)) as audio:
        samples = np.frombuffer(audio.readframes(audio.getnframes()), np.int16)
        return resample(samples, audio.getframerate(), RATE).tobytes()


@pytest.fixture(scope="session")
def hear() -> Callable[[PocketSphinxSTT, bytes], AsyncIterator[object]]:
    """`hear(stt, pcm)` returns the pieces of the transcription of an utterance."""
    return lambda stt, pcm: stt.transcribe(STTRequest(frames(pcm)))


async def frames(pcm: bytes) -> AsyncIterator[Audio]:
    """Yield the frames of an utterance, without delays."""
    for at in range(0, len(pcm), FRAME):
        yield Audio(pcm[at : at + FRAME], RATE)
