"""The helper process: take requests from stdin and reply with speech on stdout, until stdin ends.

`python -P -m rtvi_plugins_piper.worker`. One request at a time is carried out, on all cores.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, BinaryIO, cast

from rtvi_plugins_piper._protocol import Kind, encode, read_frames
from rtvi_plugins_piper._words import word_starts

__all__ = ("Requests", "Voices", "main")

#: The longest payload of audio, in bytes.
_BATCH = 65536


class Refused(Exception):
    """A request that cannot be carried out. The text is for the operator."""


class Stopped(Exception):
    """The request was cancelled."""


class Requests:
    """The requests that wait, filled by one thread and emptied by another."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[tuple[int, int, bytes] | None] = SimpleQueue()
        self._cancelled = 0  # ids grow, so all requests up to this one
        self._running: Any = None  # the options of the run that makes the audio

    def fill(self, source: BinaryIO) -> None:
        """Take requests from a stream until it ends. The end cancels what runs."""
        try:
            for kind, id, payload in read_frames(source):
                if kind == Kind.CANCEL:
                    self.cancel(id)
                else:
                    self._waiting.put((kind, id, payload))
        finally:
            self.cancel(1 << 32)
            self._waiting.put(None)

    def cancel(self, id: int) -> None:
        """Stop a request, and those before it."""
        self._cancelled = max(self._cancelled, id)
        if self._running is not None:
            self._running.terminate = True

    def __iter__(self) -> Iterator[tuple[int, int, bytes]]:
        while (request := self._waiting.get()) is not None:
            if request[1] > self._cancelled:
                yield request

    def run(self, id: int, session: Any, feeds: Mapping[str, Any]) -> Any:
        """Run a model. Raise `Stopped` if the request is cancelled meanwhile."""
        self._running = importlib.import_module("onnxruntime").RunOptions()
        try:
            if id <= self._cancelled:
                raise Stopped
            return session.run(None, feeds, self._running)
        except Exception:
            if id <= self._cancelled:
                raise Stopped from None
            raise
        finally:
            self._running = None


class _Session:
    """The model of a voice, which a cancelled request stops."""

    def __init__(self, session: Any, requests: Requests) -> None:
        self._session, self._requests, self.id = session, requests, 0

    def run(self, names: None, feeds: Mapping[str, Any]) -> Any:
        """Run the model, as Piper calls it."""
        return self._requests.run(self.id, self._session, feeds)


class Voices:
    """The loaded voices."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
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
            loaded.session = _Session(loaded.session, self._requests)
            self._loaded[model] = loaded
        return self._loaded[model]

    def speak(self, id: int, request: Mapping[str, Any]) -> Iterator[bytes]:
        """Yield the frames of the reply: the words, and the audio."""
        voice = self.load(request["voice"])
        voice.session.id = id
        settings = cast("Any", importlib.import_module("piper")).SynthesisConfig(
            speaker_id=request["speaker"], length_scale=voice.config.length_scale / request["speed"]
        )
        audio, spoken = bytearray(), list[tuple[str, int]]()
        for chunk in voice.synthesize(request["text"], settings, include_alignments=True):
            audio += chunk.audio_int16_bytes
            spoken += _durations(chunk)
        words = request["text"].split()
        starts = word_starts(words, spoken, lambda word: chain.from_iterable(voice.phonemize(word)))
        yield encode(Kind.WORDS, id, json.dumps(list(zip(words, starts, strict=True))).encode())
        for at in range(0, len(audio), _BATCH):
            yield encode(Kind.AUDIO, id, bytes(audio[at : at + _BATCH]))


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


def _write(descriptor: int, frame: bytes) -> None:
    unsent = memoryview(frame)
    while unsent:
        unsent = unsent[os.write(descriptor, unsent) :]


def _carry_out(voices: Voices, kind: int, id: int, payload: bytes) -> Iterator[bytes]:
    yield encode(Kind.STARTED, id)
    try:
        request = json.loads(payload)
        if kind == Kind.LOAD:
            voices.load(request)
        else:
            yield from voices.speak(id, request)
    except Stopped:
        return
    except Refused as error:
        yield encode(Kind.FAILED, id, str(error).encode())
    except Exception as error:
        yield encode(Kind.FAILED, id, f"Piper failed: {type(error).__name__}".encode())
    else:
        yield encode(Kind.DONE, id)


def main() -> None:
    """Serve until stdin ends."""
    # Ctrl-C is meant for the bot, which ends this process when it no longer needs it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What the libraries print goes to stderr, so that it does not mix with the frames.
    output = os.dup(1)
    os.dup2(2, 1)
    requests = Requests()
    Thread(target=requests.fill, args=(sys.stdin.buffer,), daemon=True).start()
    voices = Voices(requests)
    try:
        for kind, id, payload in requests:
            for frame in _carry_out(voices, kind, id, payload):
                _write(output, frame)
    except OSError:
        pass  # the bot is gone


if __name__ == "__main__":
    main()
