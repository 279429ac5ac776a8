"""The helper process: takes requests from its stdin, and answers with speech on its stdout, until stdin ends.

`python -m rtvi_plugins_espeak.worker LIBRARY DATA`. It needs nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from queue import SimpleQueue
from threading import Thread

from rtvi_plugins_espeak._library import Espeak, Refused
from rtvi_plugins_espeak._protocol import FIRST, Decoder, Frame, Kind, ProtocolError, encode, pack_word

__all__ = ("Desk", "Output", "main", "serve")

_AT_ONCE = 65536  # bytes

#: The first audio goes out at once, and the rest in batches that grow, so that it takes few writes; in bytes. 90 ms
#: of audio are made in 0.1 ms.
_FIRST_BATCH, _LAST_BATCH = 4096, 32768

#: Loaded while nobody waits yet.
_LIKELY = "gmw/en-US"


class Desk:
    """What has been asked for and what has been given up: filled by one thread, worked off by another."""

    def __init__(self) -> None:
        self._orders: SimpleQueue[Frame | None] = SimpleQueue()
        self._given_up = FIRST - 1
        self._closed = False

    def fill(self, source: int) -> None:
        """Take requests from a file descriptor until it ends, or holds something else."""
        decoder = Decoder()
        try:
            while data := os.read(source, _AT_ONCE):
                for frame in decoder.feed(data):
                    self.take(frame)
        except (OSError, ProtocolError):
            pass
        finally:
            self.close()

    def take(self, frame: Frame) -> None:
        if frame.kind is Kind.SPEAK:
            self._orders.put(frame)
        elif frame.kind is Kind.CANCEL:
            self._given_up = max(self._given_up, frame.id)

    def close(self) -> None:
        """Nothing more is wanted."""
        self._closed = True
        self._orders.put(None)

    def next(self) -> Frame | None:
        """The next request that is wanted; None when there will be no more."""
        while (order := self._orders.get()) is not None:
            if self.wants(order.id):
                return order
        return None

    def wants(self, id: int) -> bool:
        """Whether somebody still waits for this."""
        return not self._closed and id > self._given_up


class Output:
    """Where replies go. A reader that has gone is found out at the next of them."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting = bytearray()
        self._batch = _FIRST_BATCH

    def send(self, frame: Frame) -> None:
        """Send a frame, and all that waited for company."""
        self._waiting += encode(frame)
        self._batch = _FIRST_BATCH
        self._write()

    def send_soon(self, frame: Frame) -> None:
        """Send a frame when there are enough of them for a write to be worth it."""
        self._waiting += encode(frame)
        if len(self._waiting) >= self._batch:
            self._batch = min(2 * self._batch, _LAST_BATCH)
            self._write()

    def _write(self) -> None:
        waiting, self._waiting = bytes(self._waiting), bytearray()
        unsent = memoryview(waiting)
        while unsent:
            unsent = unsent[os.write(self._descriptor, unsent) :]


def serve(espeak: Espeak, desk: Desk, output: Output) -> None:
    """Answer requests, one after the other."""
    while (order := desk.next()) is not None:
        output.send(Frame(Kind.STARTED, order.id))
        try:
            _speak(espeak, order, desk, output)
        except (KeyError, TypeError, ValueError, Refused):
            output.send(Frame(Kind.FAILED, order.id))
        else:
            output.send(Frame(Kind.DONE, order.id))


def _speak(espeak: Espeak, order: Frame, desk: Desk, output: Output) -> None:
    asked = json.loads(order.payload)

    def on_audio(data: bytes) -> bool:
        output.send_soon(Frame(Kind.AUDIO, order.id, data))
        return desk.wants(order.id)

    def on_word(position: int, sample: int) -> None:
        output.send_soon(Frame(Kind.WORD, order.id, pack_word(position, sample)))

    espeak.choose(asked["voice"])
    espeak.adjust(asked)
    espeak.speak(asked["text"], pause=asked["pause"], on_audio=on_audio, on_word=on_word)


def _own_stdout() -> int:
    """The process's stdout, for frames only: whatever the library prints goes where errors go."""
    descriptor = os.dup(1)
    os.dup2(2, 1)
    return descriptor


def main(library: str, data: str) -> None:
    """Serve until nobody is left to serve."""
    # Whoever presses Ctrl-C means the bot, which ends this process when it has finished with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    output = Output(_own_stdout())
    espeak, desk = Espeak(library, data), Desk()
    welcome = {"rate": espeak.rate, "voices": espeak.voices(), "variants": espeak.variants()}
    try:
        output.send(Frame(Kind.READY, 0, json.dumps(welcome).encode()))
        espeak.choose(_LIKELY)
        Thread(target=desk.fill, args=[0], daemon=True).start()
        serve(espeak, desk, output)
    except OSError:  # nobody reads any more
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
