"""Speak all sentences of sentences.toml to a recogniser, and write what it heard to a file.

It takes minutes, so the tests read the files. Record them again with `python record.py pocketsphinx` or
`python record.py whisper`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import wave
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import anyio
from rtvi_plugins.kinds import Audio, STTRequest, Transcript
from rtvi_plugins_pocketsphinx.stt import pocketsphinx_stt

Recogniser: TypeAlias = Callable[[], AbstractAsyncContextManager[Any]]

HERE = Path(__file__).parent
RATE = 16_000
#: Voices of flite. They take turns.
VOICES = ("kal16", "slt", "awb", "rms")


def speak(voice: str, text: str) -> bytes:
    """Return the samples of a sentence, spoken by flite."""
    said = subprocess.run(["flite", "-voice", voice, "-t", text, "-o", "/dev/stdout"], check=True, capture_output=True)
    with wave.open(BytesIO(said.stdout)) as audio:
        assert (audio.getframerate(), audio.getnchannels()) == (RATE, 1)
        return audio.readframes(len(said.stdout))


async def frames(pcm: bytes) -> AsyncIterator[Audio]:
    """Yield an utterance with half a second of silence around it, as the recogniser receives it."""
    padded = bytes(RATE) + pcm + bytes(RATE)
    for at in range(0, len(padded), 1024):
        yield Audio(padded[at : at + 1024], RATE)


async def recognise(utterances: Iterable[bytes], recogniser: Recogniser = pocketsphinx_stt) -> list[str]:
    """Return the transcripts of utterances, each of a speaker that the recogniser does not know."""
    texts: list[str] = []
    for pcm in utterances:
        async with recogniser() as stt:
            pieces = [piece async for piece in stt.transcribe(STTRequest(frames(pcm)))]
        texts += [each.text for each in pieces if isinstance(each, Transcript) and each.final]
    return texts


def recogniser_named(name: str) -> Recogniser:
    """Return a recogniser by the name of its provider. Whisper need not be installed for the tests."""
    if name == "pocketsphinx":
        return pocketsphinx_stt
    from rtvi_plugins_whisper.stt import whisper_stt

    return whisper_stt


def main(name: str) -> None:
    """Write the file of a recogniser."""
    sentences = tomllib.loads((HERE / "sentences.toml").read_text("utf-8"))
    lines = [f"# What {name} heard when flite spoke the sentences of sentences.toml: written by record.py."]
    for topic, texts in sentences.items():
        spoken = [speak(VOICES[number % len(VOICES)], text) for number, text in enumerate(texts)]
        heard = anyio.run(partial(recognise, recogniser=recogniser_named(name)), spoken)
        listed = "".join(f"  {json.dumps(text, ensure_ascii=False)},\n" for text in heard)
        lines += ["", f"{topic} = [\n{listed}]"]
    (HERE / f"recognised_by_{name}.toml").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
