"""Turn the replies of the helper process into the words and the audio of one utterance."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import define, field

from rtvi_plugins.helper_process import Frame
from rtvi_plugins.kinds import Audio, Word

from ._protocol import Kind, unpack_word
from ._text import Words

__all__ = ("Pieces",)

#: espeak makes audio in pieces of 60 ms. They are halved, so that a transport can stop sooner.
_PIECE_SECONDS = 0.03


@define
class Pieces:
    """The pieces of an utterance. espeak counts the samples of each of its parts from 0.

    Audio is held back until the next word is known, which takes less than a millisecond. The reason: espeak speaks some
    words together with the word before and does not report them, and they must come before their audio too.
    """

    rate: int
    _begun: int = 0  # the sample at which the part begins
    _made: int = 0  # how many samples of it there are
    _held: list[bytes] = field(factory=list[bytes])
    _words: Words = field(factory=lambda: Words(""))
    _word: list[str] = field(factory=list[str])  # the word that begins with the audio held back, if any
    _start: int = 0

    def begin(self, text: str) -> None:
        """Begin the next part, whose replies follow."""
        self._begun += self._made
        self._made, self._start, self._words = 0, self._begun, Words(text)

    def add(self, frame: Frame) -> Iterator[Audio | Word]:
        """Yield what is complete with this reply."""
        if frame.kind == Kind.AUDIO:
            self._made += len(frame.payload) // 2
            self._held.append(frame.payload)
        elif frame.kind == Kind.WORD:
            position, sample = unpack_word(frame.payload)
            if (found := self._words.at(position)) is not None:
                skipped, word = found
                # At odd words, such as a row of signs, espeak's times go back by some samples.
                start = max(self._start, self._begun + sample)
                yield from self._release(skipped, start)
                self._word, self._start = [word], start

    def end(self) -> Iterator[Audio | Word]:
        """Yield the rest of the part."""
        yield from self._release(self._words.rest(), self._begun + self._made)

    def _release(self, skipped: list[str], end: int) -> Iterator[Audio | Word]:
        """Yield the current word, those skipped after it, and their audio. They share the time up to `end`."""
        words = self._word + skipped
        for index, word in enumerate(words):
            yield Word(word, (self._start + (end - self._start) * index / len(words)) / self.rate)
        audio, self._held, self._word = self._held, [], []
        size = 2 * round(self.rate * _PIECE_SECONDS)
        for data in audio:
            for at in range(0, len(data), size):
                yield Audio(data[at : at + size], self.rate)
