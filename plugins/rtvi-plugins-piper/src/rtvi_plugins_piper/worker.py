"""The program of the helper process: speak what is requested, one request at a time, on all cores."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, cast

from rtvi_plugins.helper_worker import Frame, Refused, Requests, serve, take_stdout
from rtvi_plugins_piper._protocol import Kind
from rtvi_plugins_piper._words import word_starts

__all__ = ("Voices", "main")

#: The longest payload of audio, in bytes.
_BATCH = 65536


class Stopped(Exception):
    """The request was cancelled."""


class Runs:
    """The runs of models. A run stops when its request is cancelled."""

    def __init__(self) -> None:
        self.requests = Requests(self._stop)
        #: The request that is answered now.
        self.id = 0
        #: The options of the run that makes the audio.
        self._options: Any = None

    def _stop(self) -> None:
        if self._options is not None:
            self._options.terminate = True

    def run(self, session: Any, feeds: Mapping[str, Any]) -> Any:
        """Run a model. Raise `Stopped` if the request is cancelled meanwhile."""
        self._options = importlib.import_module("onnxruntime").RunOptions()
        try:
            if not self.requests.wants(self.id):
                raise Stopped
            return session.run(None, feeds, self._options)
        except Exception:
            if not self.requests.wants(self.id):
                raise Stopped from None
            raise
        finally:
            self._options = None


class _Session:
    """The model of a voice, which a cancelled request stops."""

    def __init__(self, session: Any, runs: Runs) -> None:
        self._session, self._runs = session, runs

    def run(self, names: None, feeds: Mapping[str, Any]) -> Any:
        """Run the model, as Piper calls it."""
        return self._runs.run(self._session, feeds)


class Voices:
    """The loaded voices."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._loaded: dict[str, Any] = {}

    def load(self, voice: Mapping[str, Any]) -> Any:
        """Return a voice. Raise `Refused` if its files are not as expected, or not those of a voice."""
        model, config = voice["model"], voice["config"]
        if model not in self._loaded:
            for path, expected in ((model, voice["model_sha256"]), (config, voice["config_sha256"])):
                if expected is not None:
                    _check(Path(path), expected)
            piper = cast("Any", importlib.import_module("piper"))
            try:
                loaded = piper.PiperVoice.load(model, config, include_alignments=True)
            except Exception as error:
                raise Refused(f"{model} and {config} are not a Piper voice: {type(error).__name__}: {error}") from None
            loaded.session = _Session(loaded.session, self._runs)
            self._loaded[model] = loaded
        return self._loaded[model]

    def speak(self, request: Mapping[str, Any]) -> Iterator[tuple[Kind, bytes]]:
        """Yield the replies: the words, and the audio."""
        voice = self.load(request["voice"])
        settings = cast("Any", importlib.import_module("piper")).SynthesisConfig(
            speaker_id=request["speaker"], length_scale=voice.config.length_scale / request["speed"]
        )
        audio, spoken = bytearray(), list[tuple[str, int]]()
        for chunk in voice.synthesize(request["text"], settings, include_alignments=True):
            audio += chunk.audio_int16_bytes
            spoken += _durations(chunk)
        words = request["text"].split()
        starts = word_starts(words, spoken, lambda word: chain.from_iterable(voice.phonemize(word)))
        yield Kind.WORDS, json.dumps(list(zip(words, starts, strict=True))).encode()
        for at in range(0, len(audio), _BATCH):
            yield Kind.AUDIO, bytes(audio[at : at + _BATCH])


def _durations(chunk: Any) -> list[tuple[str, int]]:
    """Return the phonemes of a chunk with their samples. If the voice reports none, all take the same time."""
    if chunk.phoneme_alignments:
        return [(each.phoneme, int(each.num_samples)) for each in chunk.phoneme_alignments]
    samples = len(chunk.audio_int16_bytes) // 2 // max(len(chunk.phonemes), 1)
    return [(each, samples) for each in chunk.phonemes]


def _check(file: Path, expected: str) -> None:
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != expected:
        raise Refused(
            f"{file} is not the file that is expected: its SHA-256 is {found}, and should be {expected}. It is not "
            "used. Install its package again, with pip's --force-reinstall and --require-hashes."
        )


def main() -> None:
    """Serve until stdin ends."""
    replies, runs = take_stdout(), Runs()
    voices = Voices(runs)

    def execute(request: Frame) -> None:
        runs.id = request.id
        for kind, payload in _replies_to(request, voices):
            replies.send(kind, request.id, payload)

    serve(runs.requests, replies, execute)


def _replies_to(request: Frame, voices: Voices) -> list[tuple[Kind, bytes]]:
    try:
        if request.kind == Kind.SPEAK:
            return list(voices.speak(json.loads(request.payload)))
        voices.load(json.loads(request.payload))
    except Stopped:
        pass
    except Refused:
        raise
    except Exception as error:
        raise Refused(f"Piper failed: {type(error).__name__}") from None
    return []
