"""The process that recognises speech: frames come in on stdin, and what was heard goes out on stdout.

It is a process because the binding holds the interpreter's lock while it decodes; a server that decoded in a thread
would stop for it. It serves one utterance at a time and ends with its stdin. It imports nothing of the framework.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Protocol, cast

from ._frames import AUDIO, END, HEADER, HEARD, INTERIM, READY, START, frame

__all__ = ("Recogniser", "frames", "main")

#: By how much other processes of this machine go before this one.
_NICE = 10

#: What a segmentation lists beside words.
_FILLERS = frozenset(("<s>", "</s>", "<sil>", "(NULL)", "[NOISE]"))


class _Hypothesis(Protocol):
    hypstr: str


class _Segment(Protocol):
    word: str
    ascore: float
    start_frame: int
    end_frame: int


class _Decoder(Protocol):
    """As much as is used of the binding's class, which is not typed. 5.0.4 and 5.1.1 have all of it."""

    def add_jsgf_string(self, name: str, text: str) -> None: ...
    def activate_search(self, name: str) -> None: ...
    def get_cmn(self, update: bool) -> str: ...
    def set_cmn(self, cmn: str) -> None: ...
    def start_utt(self) -> None: ...
    def process_raw(self, data: bytes, no_search: bool, full_utt: bool) -> int: ...
    def end_utt(self) -> None: ...
    def hyp(self) -> _Hypothesis | None: ...
    def seg(self) -> Iterable[_Segment] | None: ...


def _decoder(**config: object) -> _Decoder:
    make = cast("Callable[..., _Decoder]", importlib.import_module("pocketsphinx").Decoder)
    return make(samprate=16000, loglevel="FATAL", **config)


class Recogniser:
    """Free dictation and, where a grammar is given, a second decoder beside it that knows nothing else.

    A grammar makes the most of any sound; only what dictation heard in it tells whether it was one of its sentences.
    """

    def __init__(self) -> None:
        self._dictation = _decoder()
        self._average = self._dictation.get_cmn(False)  # the model's own
        self._grammar: _Decoder | None = None
        self._jsgf: str | None = None
        self._busy: list[_Decoder] = []

    def start(self, jsgf: str | None, cmn: str | None) -> None:
        """Begin an utterance, and forget the one before. `cmn` is the mean of the speaker's cepstra, if known."""
        for decoder in self._busy:
            decoder.end_utt()
        self._load(jsgf)
        self._busy = [self._dictation, *([self._grammar] if jsgf and self._grammar else [])]
        for decoder in self._busy:
            decoder.set_cmn(cmn or self._average)
            decoder.start_utt()

    def _load(self, jsgf: str | None) -> None:
        if jsgf is not None and jsgf != self._jsgf:
            self._grammar = self._grammar or _decoder(lm=None)
            self._grammar.add_jsgf_string("grammar", jsgf)
            self._grammar.activate_search("grammar")
            self._jsgf = jsgf

    def hear(self, pcm: bytes) -> None:
        """Decode as it comes: 16 kHz, mono, s16le."""
        for decoder in self._busy:
            decoder.process_raw(pcm, False, False)

    def so_far(self) -> dict[str, object]:
        """What was heard until now. The decoders may still change their mind."""
        return {name: _text(decoder) for name, decoder in zip(("dictation", "grammar"), self._busy, strict=False)}

    def end(self) -> dict[str, object]:
        """What was heard, how far the grammar fits the sound, and the mean for the speaker's next utterance."""
        for decoder in self._busy:
            decoder.end_utt()
        heard = self.so_far() | {"cmn": self._dictation.get_cmn(False)}
        if len(self._busy) > 1:
            free, bound = (_score(decoder) for decoder in self._busy)
            frames = max(free[1], 1)
            heard |= {"fit": (bound[0] - free[0]) / frames, "covered": bound[1] / frames}
        self._busy = []
        return heard


def _text(decoder: _Decoder) -> str:
    hypothesis = decoder.hyp()
    return hypothesis.hypstr if hypothesis is not None else ""


def _score(decoder: _Decoder) -> tuple[float, int]:
    """The log likelihood of the sound along the best path, and how many frames (10 ms) of it are words."""
    segments = list(decoder.seg() or ())
    score = sum(math.log(max(each.ascore, sys.float_info.min)) for each in segments)
    return score, sum(each.end_frame - each.start_frame + 1 for each in segments if each.word not in _FILLERS)


def frames(source: BinaryIO) -> Iterator[tuple[bytes, int, bytes]]:
    """The frames of a stream until it ends, also in the middle of one."""
    while len(header := source.read(HEADER.size)) == HEADER.size:
        kind, utterance, length = cast("tuple[bytes, int, int]", HEADER.unpack(header))
        body = source.read(length)
        if len(body) < length:
            return
        yield kind, utterance, body


def main() -> None:
    """Serve until stdin ends."""
    if hasattr(os, "nice"):  # the server's event loop goes first: it is everybody's
        os.nice(_NICE)
    # Whatever the library prints must not end up among the frames.
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    recogniser = Recogniser()
    replies.write(frame(READY, 0))
    for kind, utterance, body in frames(sys.stdin.buffer):
        if kind == START:
            recogniser.start(**json.loads(body))
        elif kind == AUDIO:
            recogniser.hear(body)
        elif kind in (INTERIM, END):
            heard = recogniser.so_far() if kind == INTERIM else recogniser.end()
            replies.write(frame(HEARD, utterance, json.dumps(heard).encode()))


if __name__ == "__main__":
    main()
