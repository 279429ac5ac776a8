"""Speech without a network: recognisers and voices, compared with the same sentences."""

from __future__ import annotations

import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from measure import cpu_seconds_of
from table import Rounds, Row, middle

_SENTENCES = Path(__file__).parents[2] / "plugins/rtvi-plugins-pocketsphinx/tests/sentences.txt"
_VOICES = ("slt", "kal16", "piper")
_RATE = 16000
#: How many utterances are sent as fast as they are spoken, for the latency.
_PACED = 10
#: Whisper writes numbers in digits, and English as in America.
_SAME = {"10": "ten", "2": "two", "20": "twenty", "canceled": "cancelled"}


def _sentences() -> list[str]:
    return _SENTENCES.read_text().splitlines()


# ---- speech --------------------------------------------------------------------------------------------------------


def write_speech(folder: str) -> None:
    """Write each sentence in each voice; in a process of its own, so that it is not measured."""
    import numpy as np
    from piper import PiperVoice

    from rtvi_plugins_piper._voices import find

    piper = PiperVoice.load(next(iter(find(()).values())).model)
    for at, sentence in enumerate(_sentences()):
        for voice in _VOICES[:-1]:
            subprocess.run(["flite", "-voice", voice, "-t", sentence, "-o", f"{folder}/{voice}-{at}.wav"], check=True)
        made = b"".join(chunk.audio_int16_bytes for chunk in piper.synthesize(f"{sentence.capitalize()}."))
        samples = import_module("soxr").resample(np.frombuffer(made, np.int16), piper.config.sample_rate, _RATE)
        with wave.open(f"{folder}/piper-{at}.wav", "wb") as file:
            file.setparams((1, 2, _RATE, 0, "NONE", ""))
            file.writeframes((samples // 2).tobytes())


def _speech() -> list[tuple[str, bytes]]:
    """Every sentence in every voice, with silence around it as the VAD leaves it."""
    with tempfile.TemporaryDirectory() as folder:
        code = f"import sys; sys.path[:0] = {sys.path!r}; from sections.offline import *; write_speech({folder!r})"
        subprocess.run([sys.executable, "-c", code], check=True)
        return [
            (sentence, bytes(_RATE // 2) + _samples(f"{folder}/{voice}-{at}.wav") + bytes(_RATE))
            for voice in _VOICES
            for at, sentence in enumerate(_sentences())
        ]


def _samples(file: str) -> bytes:
    with wave.open(file) as opened:
        return opened.readframes(opened.getnframes())


# ---- recognising ---------------------------------------------------------------------------------------------------


async def _recognise(open_stt: Callable[[], Any]) -> dict[str, float]:
    import anyio

    from rtvi_plugins.kinds import Audio, STTRequest, Transcript

    speech, ended = _speech(), 0.0
    seconds = sum(len(pcm) for _, pcm in speech) / 2 / _RATE

    async def frames(pcm: bytes, pace: float) -> AsyncIterator[Audio]:
        nonlocal ended
        for at in range(0, len(pcm), 1024):
            if pace:
                await anyio.sleep(pace)
            yield Audio(pcm[at : at + 1024], _RATE)
        ended = time.perf_counter()

    async def final(stt: Any, pcm: bytes, pace: float = 0) -> str:
        pieces = [piece async for piece in stt.transcribe(STTRequest(frames(pcm, pace)))]
        return next(each.text for each in pieces if isinstance(each, Transcript) and each.final)

    late: list[float] = []

    async def feel() -> None:
        while True:
            began = time.perf_counter()
            await anyio.sleep(0.005)
            late.append(time.perf_counter() - began - 0.005)

    async with open_stt() as stt:
        await final(stt, speech[0][1])
        began = _cpu()
        heard = [(sentence, await final(stt, pcm)) for sentence, pcm in speech]
        used, peak = _cpu() - began, _megabytes()
        waited: list[float] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(feel)
            for _, pcm in speech[::6][:_PACED]:
                await final(stt, pcm, 0.032)
                waited.append(time.perf_counter() - ended)
            tasks.cancel_scope.cancel()
    errors = sum(_word_errors(_words(said), _words(got)) for said, got in heard)
    return {
        "wer": 100 * errors / sum(len(_words(said)) for said, _ in heard),
        "cpu": used / seconds,
        "mb": peak,
        "ms": statistics.median(waited) * 1e3,
        "late_ms": sorted(late)[len(late) * 99 // 100] * 1e3,
    }


def _words(text: str) -> list[str]:
    return [_SAME.get(each, each) for each in re.sub(r"[^a-z0-9' ]", " ", text.lower()).split()]


def _word_errors(said: list[str], heard: list[str]) -> int:
    row = list(range(len(heard) + 1))
    for at, word in enumerate(said, 1):
        above, row = row, [at]
        for column, other in enumerate(heard):
            row.append(min(above[column + 1] + 1, row[column] + 1, above[column] + (word != other)))
    return row[-1]


# ---- speaking ------------------------------------------------------------------------------------------------------


async def _speak(open_tts: Callable[[], Any]) -> dict[str, float]:
    from rtvi_plugins.kinds import Audio, TTSRequest

    async def text(sentence: str) -> AsyncIterator[str]:
        yield f"{sentence.capitalize()}."

    async with open_tts() as tts:
        first: list[float] = []
        seconds, began = 0.0, 0.0
        for at, sentence in enumerate(["hello", *_sentences()]):
            if at == 1:  # the first makes it warm
                first, seconds, began = [], 0.0, _cpu()
            asked, is_first = time.perf_counter(), True
            async for piece in tts.synthesize(TTSRequest(text(sentence))):
                if isinstance(piece, Audio):
                    if is_first:
                        first.append(time.perf_counter() - asked)
                        is_first = False
                    seconds += piece.seconds
        return {"ms": statistics.median(first) * 1e3, "cpu": (_cpu() - began) / seconds, "mb": _megabytes()}


# ---- this process and its helpers ----------------------------------------------------------------------------------


def _processes() -> Iterator[int]:
    """This process, and those that it has started."""
    yield os.getpid()
    for task in Path("/proc/self/task").iterdir():
        yield from map(int, (task / "children").read_text().split())


def _cpu() -> float:
    """The CPU seconds of this process and its helpers."""
    return sum(map(cpu_seconds_of, _processes()))


def _megabytes() -> float:
    """The resident memory of this process and its helpers."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in _processes())
    return pages * resource.getpagesize() / 1e6


# ---- cases ---------------------------------------------------------------------------------------------------------


def _pocketsphinx() -> Any:
    from rtvi_plugins_pocketsphinx.stt import pocketsphinx_stt

    return pocketsphinx_stt()


def _whisper(model: str) -> Any:
    from rtvi_plugins_whisper.stt import whisper_stt

    return whisper_stt(model)


def _espeak() -> Any:
    from rtvi_plugins_espeak.tts import espeak_tts

    return espeak_tts()


def _piper() -> Any:
    from rtvi_plugins_piper.tts import piper_tts

    return piper_tts()


def _run(work: Callable[[Callable[[], Any]], Any], opened: Callable[[], Any]) -> dict[str, float]:
    import anyio

    found: dict[str, float] = anyio.run(work, opened)
    return found


_RECOGNISERS = {
    "pocketsphinx": _pocketsphinx,
    "whisper tiny.en": partial(_whisper, "tiny.en"),
    "whisper base": partial(_whisper, "base"),
}
_SPEAKERS = {"espeak": _espeak, "piper": _piper}

CASES: dict[str, Callable[[], dict[str, float]]] = {
    **{name: partial(_run, _recognise, opened) for name, opened in _RECOGNISERS.items()},
    **{name: partial(_run, _speak, opened) for name, opened in _SPEAKERS.items()},
}


def rows(rounds: Rounds) -> list[Row]:
    return [*_recogniser_rows(rounds), *_speaker_rows(rounds)]


def _recogniser_rows(rounds: Rounds) -> Iterator[Row]:
    for name in _RECOGNISERS:
        of = partial(middle, rounds, name)
        detail = (
            f"{of('cpu'):.2f} of a core while somebody speaks, {of('mb'):.0f} MB, final text {of('ms'):.0f} ms after "
            f"the end, event loop at most {of('late_ms'):.1f} ms late, 99 of 100"
        )
        yield Row(f"{name}: words that are wrong", of("wer"), "%", 5.0 if "whisper" in name else None, detail=detail)


def _speaker_rows(rounds: Rounds) -> Iterator[Row]:
    for name in _SPEAKERS:
        of = partial(middle, rounds, name)
        detail = f"{of('cpu'):.3f} of a core for each second of speech, {of('mb'):.0f} MB"
        yield Row(f"{name}: first audio of a sentence", of("ms"), "ms", detail=detail)
