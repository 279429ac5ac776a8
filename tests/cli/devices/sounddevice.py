"""Stands in for the package sounddevice: a user who speaks for half a second, and a speaker that is a file.

No machine of these tests has a sound card. Its streams call back in a thread, in real time, as PortAudio does.
"""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any


class PortAudioError(Exception):
    """What PortAudio says."""


class _Stream:
    def __init__(
        self, *, samplerate: int, channels: int, dtype: str, blocksize: int, callback: Callable[..., None]
    ) -> None:
        if os.environ.get("NO_DEVICE"):
            raise PortAudioError("Error querying device -1")
        assert (channels, dtype) == (1, "int16")
        self._rate, self._frames, self._callback = samplerate, blocksize, callback
        self._ended = Event()
        self._thread = Thread(target=self._run)

    def __enter__(self) -> _Stream:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        due, blocks = time.monotonic(), 0
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            self._block(blocks * self._frames / self._rate)
            due, blocks = due + self._frames / self._rate, blocks + 1

    def _block(self, at: float) -> None:
        raise NotImplementedError


class RawInputStream(_Stream):
    """The user: silent at first, then half a second of a tone."""

    def _block(self, at: float) -> None:
        sample = 8_000 if 0.5 <= at < 1.0 else 0
        self._callback(
            memoryview(array("h", [sample, -sample] * (self._frames // 2)).tobytes()), self._frames, None, None
        )


class RawOutputStream(_Stream):
    """Writes what is played into a file."""

    def _block(self, at: float) -> None:
        data: Any = memoryview(bytearray(2 * self._frames))
        self._callback(data, self._frames, None, None)
        with Path(os.environ["PLAYED"]).open("ab") as file:
            file.write(data)
