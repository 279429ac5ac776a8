"""Find which part of a text the user has heard, by the seconds of its audio that were played."""

from __future__ import annotations

from bisect import bisect_right

from attrs import define, field

from ..utils.unspaced_scripts import is_unspaced, join_texts

__all__ = ("Timeline",)

#: How many characters are spoken in a second, as long as there is no audio to measure it.
_CHARACTERS_A_SECOND = 15.0

#: How far ahead a word from the TTS is searched for in the text, in characters.
_NEAR = 60


@define
class Timeline:
    """The pieces of text of one speech, in order, and their places in its audio.

    If the TTS sends the times of words, these are used. Otherwise a piece starts at the length of the audio that was
    made when the TTS took it, and the text of a piece is spread evenly over its audio.
    """

    text: str = ""
    #: The positions in the text at which each piece starts and ends.
    pieces: list[tuple[int, int]] = field(factory=list[tuple[int, int]])
    seconds: float = 0.0
    finished: bool = False
    #: Seconds of audio, and the characters of text spoken in them; both only rise.
    _marks: list[tuple[float, int]] = field(factory=lambda: [(0.0, 0)])
    #: For each word, the second at which it starts, and the position in the text at which it ends.
    _words: list[tuple[float, int]] = field(factory=list[tuple[float, int]])

    def take(self, piece: str, at: float | None = None) -> None:
        """Note that the TTS takes another piece of text, which starts after `at` seconds of its audio; None is now."""
        self.text = join_texts((self.text, piece))
        start = len(self.text) - len(piece)
        seconds = self.seconds if at is None else at
        if seconds > self._marks[-1][0]:
            self._marks.append((seconds, start))
        self.pieces.append((start, len(self.text)))

    def made(self, seconds: float) -> None:
        self.seconds += seconds

    def word(self, text: str, start: float) -> bool:
        """Note when a word starts. Return whether it is in the text: a number that is read out is not, for example."""
        after, said = self._words[-1] if self._words else (0.0, 0)
        end = self._end_of(text, said)
        _, begun = self._marks[bisect_right(self._marks, max(start, 0.0), key=lambda mark: mark[0]) - 1]
        if end is None and begun > said:  # after a number that is read out, the words of the next piece may be far away
            end = self._end_of(text, begun)
        if end is not None:
            self._words.append((max(start, after), end))
        return end is not None

    def _end_of(self, word: str, said: int) -> int | None:
        """Return where the next occurrence of a word ends, unless it is far away or part of another word."""
        at = self.text.find(word, said, said + _NEAR + len(word)) if word else -1
        while at >= 0:
            end = at + len(word)
            if not (_joins(self.text[at - 1 : at], word[0]) or _joins(word[-1], self.text[end : end + 1])):
                return end
            at = self.text.find(word, at + 1, said + _NEAR + len(word))
        return None

    @property
    def has_words(self) -> bool:
        return bool(self._words)

    def finish(self) -> None:
        self.finished = True

    def is_over(self, seconds: float) -> bool:
        """Return whether all of it was heard after `heard` seconds of its audio."""
        return self.finished and seconds >= self.seconds - 1e-6

    def heard(self, seconds: float) -> int:
        """Return how many characters of the text were heard after `heard` seconds of its audio."""
        if seconds <= 0:
            return 0
        if self.is_over(seconds):
            return len(self.text)
        if self._words:
            index = bisect_right(self._words, seconds, key=lambda word: word[0])
            return self._words[index - 1][1] if index else 0
        return self._whole_words(self._spread(seconds))

    def heard_text(self, seconds: float) -> str:
        return self.text[: self.heard(seconds)].rstrip()

    def _spread(self, seconds: float) -> float:
        index = bisect_right(self._marks, seconds, key=lambda mark: mark[0])
        start, said = self._marks[index - 1]
        if index < len(self._marks):
            end, then = self._marks[index]
        elif self.finished:
            end, then = self.seconds, len(self.text)
        else:
            end, then = start + (len(self.text) - said) / _CHARACTERS_A_SECOND, len(self.text)
        return said + (then - said) * min(1.0, (seconds - start) / (end - start)) if end > start else then

    def _whole_words(self, characters: float) -> int:
        """Return the end of the last whole word before the position."""
        position = min(len(self.text), int(characters + 1e-6))
        if position == len(self.text) or self.text[position].isspace():
            return position
        piece = max((start for start, _ in self.pieces if start <= position), default=0)
        while position > piece and not any(
            each.isspace() or is_unspaced(each) for each in self.text[position - 1 : position + 1]
        ):
            position -= 1
        return position - 1 if position > 0 and self.text[position - 1].isspace() else position


def _joins(before: str, after: str) -> bool:
    """Return whether two characters side by side belong to one word."""
    return before.isalnum() and after.isalnum() and not (is_unspaced(before) or is_unspaced(after))
