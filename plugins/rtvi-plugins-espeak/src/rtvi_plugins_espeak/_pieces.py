"""What espeak says of a text, made into words and audio that tell one utterance."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import define, field

from rtvi_plugins.kinds import Audio, Word

from ._protocol import Frame, Kind, unpack_word
from ._text import Words

__all__ = ("Pieces",)

#: espeak gives audio in pieces of 60 ms. They are halved, so that a transport can stop sooner.
_PIECE_SECONDS = 0.03


@define
class Pieces:
    """The pieces of a whole request, whose parts espeak counts each from 0. All counts are of samples.

    Audio is held back until the next word is known, which costs less than a millisecond: words that espeak passed over
    were spoken with the one before, and must be told before their audio too.
    """

    rate: int
    _begun: int = 0  # where the part begins
    _made: int = 0  # what there is of it
    _held: list[bytes] = field(factory=list[bytes])
    _words: Words = field(factory=lambda: Words(""))
    _word: list[str] = field(factory=list[str])  # begins with the audio that is held back, or is empty
    _start: int = 0

    def begin(self, text: str) -> None:
        """The frames of this part follow."""
        self._begun += self._made
        self._made, self._start, self._words = 0, self._begun, Words(text)

    def take(self, frame: Frame) -> Iterator[Audio | Word]:
        """What can be told with this frame."""
        if frame.kind is Kind.AUDIO:
            self._made += len(frame.payload) // 2
            self._held.append(frame.payload)
        elif frame.kind is Kind.WORD:
            position, sample = unpack_word(frame.payload)
            if (found := self._words.at(position)) is not None:
                passed, word = found
                # Where words are odd, as a row of signs is, espeak's times go back by some samples.
                start = max(self._start, self._begun + sample)
                yield from self._release(passed, start)
                self._word, self._start = [word], start

    def end(self) -> Iterator[Audio | Word]:
        """What is left of the part."""
        yield from self._release(self._words.rest(), self._begun + self._made)

    def _release(self, passed: list[str], end: int) -> Iterator[Audio | Word]:
        """The word that was begun, those passed over after it, and their audio; they share the time up to `end`."""
        words = self._word + passed
        for index, word in enumerate(words):
            yield Word(word, (self._start + (end - self._start) * index / len(words)) / self.rate)
        audio, self._held, self._word = self._held, [], []
        size = 2 * round(self.rate * _PIECE_SECONDS)
        for data in audio:
            for at in range(0, len(data), size):
                yield Audio(data[at : at + size], self.rate)
