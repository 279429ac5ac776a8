"""A worker process: frames of audio come in on stdin, and what was heard goes out on stdout.

It is a process because PocketSphinx holds Python's lock while it decodes, and would block the server from a thread. It
serves one utterance at a time, and ends when its stdin ends.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterable
from typing import Protocol, cast

from rtvi_plugins.helper_worker import READY, read_frames, take_stdout
from rtvi_plugins_pocketsphinx._protocol import Kind

__all__ = ("Recogniser", "main")

#: How much less important this process is than others on this machine.
_NICE = 10

#: The entries of a segmentation that are not words.
_FILLERS = frozenset(("<s>", "</s>", "<sil>", "(NULL)", "[NOISE]"))


class _Hypothesis(Protocol):
    hypstr: str


class _Segment(Protocol):
    word: str
    ascore: float
    start_frame: int
    end_frame: int


class _Decoder(Protocol):
    """The methods that are used of PocketSphinx's class, which has no types. 5.0.4 and 5.1.1 have all of them."""

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
    """Free dictation and, with a grammar, a second decoder that knows only its sentences.

    A grammar finds one of its sentences in any sound. Only the comparison with dictation shows whether it was spoken.
    """

    def __init__(self) -> None:
        self._dictation = _decoder()
        self._average = self._dictation.get_cmn(False)  # of the model
        self._grammar: _Decoder | None = None
        self._jsgf: str | None = None
        self._busy: list[_Decoder] = []

    def start(self, jsgf: str | None, cmn: str | None) -> None:
        """Begin an utterance, and drop the one before. `cmn` is the cepstral mean of the speaker, if known."""
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
        """Decode audio: 16 kHz, mono, s16le."""
        for decoder in self._busy:
            decoder.process_raw(pcm, False, False)

    def so_far(self) -> dict[str, object]:
        """Return what was heard until now, which may still change."""
        return {name: _text(decoder) for name, decoder in zip(("dictation", "grammar"), self._busy, strict=False)}

    def end(self) -> dict[str, object]:
        """Return what was heard, how well the grammar fits, and the mean for the speaker's next utterance."""
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
    """Return the log likelihood of the best path, and how many of its frames (10 ms) are words."""
    segments = list(decoder.seg() or ())
    score = sum(math.log(max(each.ascore, sys.float_info.min)) for each in segments)
    return score, sum(each.end_frame - each.start_frame + 1 for each in segments if each.word not in _FILLERS)


def main() -> None:
    """Serve until stdin ends."""
    if hasattr(os, "nice"):  # the server's event loop is more important
        os.nice(_NICE)
    replies = take_stdout()
    recogniser = Recogniser()
    replies.send(READY, 0)
    for kind, id, payload in read_frames(sys.stdin.buffer):
        if kind == Kind.START:
            recogniser.start(**json.loads(payload))
        elif kind == Kind.AUDIO:
            recogniser.hear(payload)
        elif kind in (Kind.INTERIM, Kind.END):
            heard = recogniser.so_far() if kind == Kind.INTERIM else recogniser.end()
            replies.send(Kind.HEARD, id, json.dumps(heard).encode())
