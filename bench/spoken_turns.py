"""Forty turns as four voices say them, with real pauses, heard by the real VAD and recognised by a real STT.

`end_of_turn.py` uses it. The audio is made again each time. Nothing waits for real time: only the position in the
audio counts, so a busy machine changes no figure.
"""

from __future__ import annotations

import subprocess
import tempfile
import wave
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from importlib import import_module

import numpy as np
from attrs import define, field, frozen

from rtvi_plugins import STT, VAD
from rtvi_plugins.kinds import Audio, STTRequest, Transcript
from rtvi_plugins.session import VADParams
from rtvi_plugins.voice.user_audio import SpeechDetector

__all__ = ("RECOGNISERS", "STOP_SECONDS", "Turn", "hear")

_RATE = 16_000
_FRAME = 512
_FRAME_SECONDS = _FRAME / _RATE
#: The silence that ends an utterance: the shortest of the policies that are compared.
STOP_SECONDS = 0.4
#: How much audio before an utterance the framework gives to the STT.
_PRE_ROLL_SECONDS = 0.4
#: Samples below this belong to the silence that a voice adds around its text.
_QUIET = 200


@frozen
class Turn:
    """A turn as it was heard: the text of each utterance, the pauses between them, in seconds.

    `lag` is how long after the last sound the VAD still took it for speech, in seconds.
    """

    texts: Sequence[str]
    pauses: Sequence[float]
    lag: float = 0.0


# ---- speaking --------------------------------------------------------------------------------------------------------


def _flite(voice: str, text: str, file: str) -> None:
    subprocess.run(["flite", "-voice", voice, "-t", text, "-o", file], check=True)


def _espeak(voice: str, text: str, file: str) -> None:
    subprocess.run(["espeak-ng", "-v", voice, "-w", file, text], check=True)


@define
class _Piper:
    """Piper's voice, loaded once."""

    _voice: object = None

    def __call__(self, voice: str, text: str, file: str) -> None:
        if self._voice is None:
            found = import_module("rtvi_plugins_piper._voices").find(())
            self._voice = import_module("piper").PiperVoice.load(next(iter(found.values())).model)
        with wave.open(file, "wb") as opened:
            self._voice.synthesize_wav(text, opened)  # type: ignore[attr-defined]


#: The voices take turns.
_VOICES: Sequence[tuple[Callable[[str, str, str], None], str]] = (
    (_flite, "slt"),
    (_flite, "kal16"),
    (_espeak, "en-us"),
    (_Piper(), "joe"),
)


def _spoken(number: int, text: str, folder: str) -> np.ndarray:
    """Return the speech of a text, without silence around it."""
    make, voice = _VOICES[number % len(_VOICES)]
    file = f"{folder}/part.wav"
    make(voice, text, file)
    with wave.open(file) as opened:
        rate, samples = opened.getframerate(), np.frombuffer(opened.readframes(opened.getnframes()), np.int16)
    samples = import_module("soxr").resample(samples, rate, _RATE)
    loud = np.flatnonzero(np.abs(samples) > _QUIET)
    return samples[loud[0] : loud[-1] + 1]


def _audio(number: int, parts: Sequence[str]) -> tuple[np.ndarray, float]:
    """Return the audio of a turn, and when its last word ends, in seconds. `parts` are text and pauses by turns."""
    with tempfile.TemporaryDirectory() as folder:
        pieces = [
            np.zeros(round(float(each) * _RATE), np.int16) if at % 2 else _spoken(number, each, folder)
            for at, each in enumerate(parts)
        ]
    lead = np.zeros(_RATE // 2, np.int16)
    speech = np.concatenate([lead, *pieces])
    return np.concatenate([speech, np.zeros(2 * _RATE, np.int16)]), len(speech) / _RATE


# ---- hearing ---------------------------------------------------------------------------------------------------------


@define
class _Utterances:
    """Where the utterances of a turn are, in frames: the first and the one after the last with speech."""

    found: list[tuple[int, int]] = field(factory=list[tuple[int, int]])

    def find(self, speech: Sequence[bool], params: VADParams) -> None:
        """Find them as the framework does."""
        detector, began, last = SpeechDetector(), 0, 0
        for at, is_speech in enumerate(speech):
            change = detector.feed(is_speech, _FRAME_SECONDS, params)
            if is_speech:
                last = at + 1
            if change == "started":
                began = at + 1 - round(params.start_secs / _FRAME_SECONDS)
            elif change == "stopped":
                self.found.append((began, last))


def _frames(samples: np.ndarray) -> Iterator[Audio]:
    for at in range(0, len(samples) - _FRAME + 1, _FRAME):
        yield Audio(samples[at : at + _FRAME].astype("<i2").tobytes(), _RATE)


async def _recognised(stt: STT, frames: Sequence[Audio]) -> str:
    async def audio() -> AsyncIterator[Audio]:
        for each in frames:
            yield each

    pieces = [piece async for piece in stt.transcribe(STTRequest(audio()))]
    return " ".join(each.text for each in pieces if isinstance(each, Transcript) and each.final).strip()


def _open(module: str, name: str) -> Callable[[], AbstractAsyncContextManager[STT]]:
    def open_stt() -> AbstractAsyncContextManager[STT]:
        opened: AbstractAsyncContextManager[STT] = getattr(import_module(module), name)()
        return opened

    return open_stt


RECOGNISERS = {
    "whisper": _open("rtvi_plugins_whisper.stt", "whisper_stt"),
    "pocketsphinx": _open("rtvi_plugins_pocketsphinx.stt", "pocketsphinx_stt"),
}


async def hear(turns: Sequence[Sequence[str]], recogniser: str) -> list[Turn]:
    """Let the voices say all turns, and return what was heard."""
    async with RECOGNISERS[recogniser]() as stt:
        return [await _hear(stt, *_audio(number, parts)) for number, parts in enumerate(turns)]


async def _hear(stt: STT, samples: np.ndarray, ends: float) -> Turn:
    frames = list(_frames(samples))
    params = VADParams(stop_secs=STOP_SECONDS)
    async with import_module("rtvi_plugins_silero.vad").silero_vad() as opened:
        vad: VAD = opened
        speech = [vad.speech_probability(each) >= params.confidence for each in frames]
    utterances = _Utterances()
    utterances.find(speech, params)
    before, after = round(_PRE_ROLL_SECONDS / _FRAME_SECONDS), round(STOP_SECONDS / _FRAME_SECONDS)
    texts = [await _recognised(stt, frames[max(0, first - before) : last + after]) for first, last in utterances.found]
    pairs = zip(utterances.found, utterances.found[1:], strict=False)
    pauses = [(first - last) * _FRAME_SECONDS for (_, last), (first, _) in pairs]
    return Turn(texts, pauses, utterances.found[-1][1] * _FRAME_SECONDS - ends)
