"""The helper process: take requests from stdin and reply with speech on stdout, until stdin ends.

`python -m rtvi_plugins_espeak.worker LIBRARY DATA`. It uses the standard library alone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from queue import SimpleQueue
from threading import Thread
from typing import BinaryIO

from rtvi_plugins_espeak._library import Espeak, Rejected
from rtvi_plugins_espeak._protocol import Kind, encode, pack_word, read_frames

__all__ = ("Output", "RequestQueue", "main", "serve")

#: The first audio is written at once, and the rest in growing batches, to need few writes. In bytes; 90 ms of audio
#: are made in 0.1 ms.
_FIRST_BATCH, _LAST_BATCH = 4096, 32768

#: The default voice, loaded before the first request.
_DEFAULT_VOICE = "gmw/en-US"


class RequestQueue:
    """The requests that wait, filled by one thread and emptied by another."""

    def __init__(self) -> None:
        self._requests: SimpleQueue[tuple[int, bytes] | None] = SimpleQueue()
        #: Ids grow, so all requests up to this one are cancelled.
        self._cancelled = 0
        self._closed = False

    def fill(self, source: BinaryIO) -> None:
        """Take requests from a stream until it ends or contains something else."""
        try:
            for kind, id, payload in read_frames(source):
                self.add(kind, id, payload)
        except (OSError, ValueError):
            pass
        finally:
            self.close()

    def add(self, kind: int, id: int, payload: bytes = b"") -> None:
        """Add a request, or cancel one."""
        if kind == Kind.SPEAK:
            self._requests.put((id, payload))
        elif kind == Kind.CANCEL:
            self._cancelled = max(self._cancelled, id)

    def close(self) -> None:
        """Cancel everything; nothing more is added."""
        self._closed = True
        self._requests.put(None)

    def next(self) -> tuple[int, bytes] | None:
        """Wait for the next request that is wanted, and return its id and payload; None after the last."""
        while (request := self._requests.get()) is not None:
            if self.wants(request[0]):
                return request
        return None

    def wants(self, id: int) -> bool:
        """Return whether a request was not cancelled."""
        return not self._closed and id > self._cancelled


class Output:
    """The pipe for replies. Writing raises `OSError` when the reader is gone."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting = bytearray()
        self._batch = _FIRST_BATCH

    def send(self, frame: bytes) -> None:
        """Write a frame now, with all that wait."""
        self._waiting += frame
        self._batch = _FIRST_BATCH
        self._write()

    def send_soon(self, frame: bytes) -> None:
        """Write a frame when enough of them wait."""
        self._waiting += frame
        if len(self._waiting) >= self._batch:
            self._batch = min(2 * self._batch, _LAST_BATCH)
            self._write()

    def _write(self) -> None:
        waiting, self._waiting = bytes(self._waiting), bytearray()
        unsent = memoryview(waiting)
        while unsent:
            unsent = unsent[os.write(self._descriptor, unsent) :]


def serve(espeak: Espeak, requests: RequestQueue, output: Output) -> None:
    """Carry out requests, one after the other."""
    while (request := requests.next()) is not None:
        id, payload = request
        output.send(encode(Kind.STARTED, id))
        try:
            _speak(espeak, id, payload, requests, output)
        except (KeyError, TypeError, ValueError, Rejected):
            output.send(encode(Kind.FAILED, id))
        else:
            output.send(encode(Kind.DONE, id))


def _speak(espeak: Espeak, id: int, payload: bytes, requests: RequestQueue, output: Output) -> None:
    request = json.loads(payload)

    def on_audio(data: bytes) -> bool:
        output.send_soon(encode(Kind.AUDIO, id, data))
        return requests.wants(id)

    def on_word(position: int, sample: int) -> None:
        output.send_soon(encode(Kind.WORD, id, pack_word(position, sample)))

    espeak.choose(request["voice"])
    espeak.adjust(request)
    espeak.speak(request["text"], pause=request["pause"], on_audio=on_audio, on_word=on_word)


def _own_stdout() -> int:
    """Return a descriptor of stdout for frames alone. What the library prints goes to stderr."""
    descriptor = os.dup(1)
    os.dup2(2, 1)
    return descriptor


def main(library: str, data: str) -> None:
    """Serve until stdin ends."""
    # Ctrl-C is meant for the bot, which ends this process when it no longer needs it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    output = Output(_own_stdout())
    espeak, requests = Espeak(library, data), RequestQueue()
    ready = {"rate": espeak.rate, "voices": espeak.voices(), "variants": espeak.variants()}
    try:
        output.send(encode(Kind.READY, 0, json.dumps(ready).encode()))
        espeak.choose(_DEFAULT_VOICE)
        Thread(target=requests.fill, args=[os.fdopen(0, "rb", closefd=False)], daemon=True).start()
        serve(espeak, requests, output)
    except OSError:  # nobody reads any more
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
