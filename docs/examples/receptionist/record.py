"""Speak all sentences of sentences.toml to the recogniser, and write what it heard to recognised.toml.

It takes minutes, so the tests read the file. Run it again for another recogniser: `python record.py`.
"""

from __future__ import annotations

import json
import subprocess
import tomllib
import wave
from collections.abc import AsyncIterator, Iterable
from io import BytesIO
from pathlib import Path

import anyio
from rtvi_plugins.kinds import Audio, STTRequest, Transcript
from rtvi_plugins_pocketsphinx.stt import pocketsphinx_stt

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


async def recognise(utterances: Iterable[bytes]) -> list[str]:
    """Return the transcripts of utterances, each of a speaker that the recogniser does not know."""
    texts: list[str] = []
    for pcm in utterances:
        async with pocketsphinx_stt() as stt:
            pieces = [piece async for piece in stt.transcribe(STTRequest(frames(pcm)))]
        texts += [each.text for each in pieces if isinstance(each, Transcript) and each.final]
    return texts


def main() -> None:
    """Write recognised.toml."""
    sentences = tomllib.loads((HERE / "sentences.toml").read_text("utf-8"))
    lines = ["# What pocketsphinx heard when flite spoke the sentences of sentences.toml: written by record.py."]
    for topic, texts in sentences.items():
        spoken = [speak(VOICES[number % len(VOICES)], text) for number, text in enumerate(texts)]
        heard = [f"  {json.dumps(text)},\n" for text in anyio.run(recognise, spoken)]
        lines += ["", f"{topic} = [\n{''.join(heard)}]"]
    (HERE / "recognised.toml").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
