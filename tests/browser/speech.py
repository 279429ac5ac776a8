"""Speech for a microphone, and a listener that recognises a limited number of sentences."""

from __future__ import annotations

import re
import subprocess
import wave
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, TypeVar, cast

import anyio
import numpy as np
import pocketsphinx  # type: ignore[import-untyped]

from rtvi_plugins.kinds import Audio, TTSRequest
from rtvi_plugins_espeak.tts import espeak_tts
from rtvi_plugins_piper.tts import PiperTTS, configure, piper_tts

from .sound import LOUD, Samples, resampled, trimmed

__all__ = ("Listener", "say", "say_all", "synthesised", "word_errors", "words")

#: It says nothing about its types.
SPHINX = cast("Any", pocketsphinx)
RATE = 16_000
#: Between what the sounds of a sentence have in common with a recognition of it, and with that of another.
ALIKE = 0.15
#: How much nearer another sentence may be.
NEAR = 0.15


def say(text: str, voice: str = "rms") -> bytes:
    """Return a WAV file in which flite says a text, in a voice that the recogniser understands."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "speech.wav")
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(file)], check=True, timeout=30)
        return file.read_bytes()


@cache
def synthesised(text: str) -> tuple[Samples, int]:
    """Return a sentence in the porter's voice, and its rate in Hz."""

    async def speak() -> Sequence[Audio]:
        async def pieces() -> AsyncGenerator[str]:
            yield text

        async with espeak_tts() as tts:
            made = [piece async for piece in tts.synthesize(TTSRequest(pieces()))]
        return [piece for piece in made if isinstance(piece, Audio)]

    made = anyio.run(speak)
    return np.frombuffer(b"".join(piece.data for piece in made), np.int16), made[0].rate


class _HasText(Protocol):
    @property
    def text(self) -> str: ...


L = TypeVar("L", bound=_HasText)


def say_all(voices: Mapping[L, str | float]) -> Mapping[L, bytes]:
    """Return WAV files of texts, without silence at the end. A voice is one of flite, or the speed of Piper's."""

    async def made() -> Mapping[L, bytes]:
        async with piper_tts() as piper:
            return {
                line: _cut(say(line.text, voice))
                if isinstance(voice, str)
                else await _say_by_piper(piper, line.text, voice)
                for line, voice in voices.items()
            }

    return anyio.run(made)


async def _say_by_piper(piper: PiperTTS, text: str, speed: float) -> bytes:
    async def whole() -> AsyncGenerator[str]:
        yield text

    configure(piper, speed=speed)
    made = [piece async for piece in piper.synthesize(TTSRequest(whole())) if isinstance(piece, Audio)]
    return _wav(np.frombuffer(b"".join(piece.data for piece in made), np.int16), made[0].rate)


def _cut(speech: bytes) -> bytes:
    with wave.open(BytesIO(speech)) as file:
        return _wav(np.frombuffer(file.readframes(file.getnframes()), np.int16), file.getframerate())


def _wav(samples: Samples, rate: int) -> bytes:
    """Return a WAV file that ends with the last sound. Otherwise, the silence after it would count as delay."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > LOUD)
    to = BytesIO()
    with wave.open(to, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples[: loud[-1] + 1].tobytes())
    return to.getvalue()


def words(text: str) -> Sequence[str]:
    """Return the words of a text, without case and punctuation."""
    return re.findall(r"[a-z']+", text.lower())


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Return how many words must be added, removed or replaced to make one from the other (Levenshtein's distance)."""
    row = list(range(len(heard) + 1))
    for place, word in enumerate(said, 1):
        last, row = row, [place]
        for other, found in enumerate(heard, 1):
            row.append(min(row[-1] + 1, last[other] + 1, last[other - 1] + (word != found)))
    return row[-1]


class Listener:
    """Recognises which of its sentences was said, or that it was another one.

    Free dictation does not understand espeak's voice, but a grammar does. A grammar alone would find one of its
    sentences in almost any sound. So its result counts only if it is also among the most similar to the sounds that
    are recognised without a grammar.
    """

    def __init__(self, sentences: Iterable[str]) -> None:
        self._sentences = {" ".join(words(sentence)): sentence for sentence in sentences}
        # Without the search for a best path afterwards, which would replace a right result by a part of it.
        self._grammar = _decoder(lm=None, bestpath=False, beam=1e-60, pbeam=1e-60, wbeam=1e-50)
        choices = " | ".join(self._sentences)
        self._grammar.add_jsgf_string("sentences", f"#JSGF V1.0; grammar sentences; public <any> = {choices};")
        self._grammar.activate_search("sentences")
        model = f"{SPHINX.get_model_path()}/en-us/en-us-phone.lm.bin"
        self._free = _decoder(lm=None, allphone=model, lw=2.0, beam=1e-20, pbeam=1e-20)
        self._sounds = {text: self._sounds_of(text) for text in self._sentences}

    def hear(self, samples: Samples, rate: int) -> str | None:
        """Return the sentence that was said, or None if it was another one."""
        silence = np.zeros(RATE // 4, np.int16)
        # Long digital silence would spoil what it takes for the loudness of the voice.
        sound = np.concatenate([silence, resampled(trimmed(samples), rate, RATE), silence])
        found = _recognise(self._grammar, sound)
        sounds = [each for each in _recognise(self._free, sound).split() if each.isalpha() and each != "SIL"]
        likeness = {text: _likeness(expected, sounds) for text, expected in self._sounds.items()}
        close = likeness.get(found, 0) > max(ALIKE, max(likeness.values()) - NEAR)
        return self._sentences[found] if close else None

    def _sounds_of(self, text: str) -> Sequence[str]:
        return [sound for word in text.split() for sound in str(self._grammar.lookup_word(word)).split()]


def _likeness(expected: Sequence[str], heard: Sequence[str]) -> float:
    """Return 1 for the same sounds, and 0 for sounds that have nothing in common."""
    return 1 - word_errors(expected, heard) / max(len(expected), len(heard))


def _decoder(**options: Any) -> Any:
    return SPHINX.Decoder(samprate=RATE, loglevel="FATAL", **options)


def _recognise(decoder: Any, sound: Samples) -> str:
    """Return what is recognised the second time. The first time measures how loud and bright the voice is."""
    for _ in range(2):
        decoder.start_utt()
        # In small pieces, as from a microphone: given all at once, it would level the sound in another way.
        for at in range(0, len(sound), 320):
            decoder.process_raw(sound[at : at + 320].tobytes(), False, False)
        decoder.end_utt()
    found = decoder.hyp()
    return str(found.hypstr) if found else ""
