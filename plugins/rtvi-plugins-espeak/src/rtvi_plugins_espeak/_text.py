"""Prepare text for speech: clean it, cut it into short parts, and find its words again."""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import define, field, frozen

__all__ = ("LONGEST", "Part", "Words", "clean", "parts")

#: The longest part, in characters. A part takes some 15 ms, during which no other session is served.
LONGEST = 300

#: espeak reads control characters as commands (U+0001) or as the end of the text (U+0000). Lone surrogates are not
#: text. They are replaced with spaces, which keeps all positions.
_UNSPEAKABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")

_SENTENCE_END = re.compile(r"[.!?;:…。！？；।؟]['\"”’)\]]*\s|[。！？；]|\n")
_SPACE = re.compile(r"\s")

#: Scripts that are written without spaces: Thai and Lao, Burmese, Khmer, kana, Chinese characters.
_WITHOUT_SPACES = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]"
)
_REST_OF_WORD = re.compile(r"\S*")
_PUNCTUATION = re.compile(r"[^\w\s]*")


@frozen
class Part:
    """A text for one request. `pause` is whether a sentence ends with it."""

    text: str
    pause: bool


def clean(text: str) -> str:
    """Replace each character that cannot be spoken with a space."""
    return _UNSPEAKABLE.sub(" ", text)


def parts(text: str) -> Iterator[Part]:
    """Cut a text into parts of at most `LONGEST` characters, where a sentence ends, or else between words."""
    text, at = clean(text), 0
    while len(text) - at > LONGEST:
        length, pause = _cut(text[at : at + LONGEST])
        yield Part(text[at : at + length], pause)
        at += length
    yield Part(text[at:], pause=True)


def _cut(window: str) -> tuple[int, bool]:
    """Return the length of the next part, and whether a sentence ends there."""
    for pattern, pause in ((_SENTENCE_END, True), (_SPACE, False)):
        ends = [found.end() for found in pattern.finditer(window)]
        if ends:
            return ends[-1], pause
    return len(window), False


@define
class Words:
    """Finds the words of a part as they are written, by the positions that espeak reports.

    espeak splits numbers and hyphenated words, reports unreliable positions within them, and does not report the second
    of two words that it speaks as one ("of the"). So a word is the text between spaces, returned once. In scripts
    without spaces it is one character, or several if espeak does not report those between.
    """

    text: str
    _reported: int = field(default=0, init=False)

    def at(self, position: int) -> tuple[list[str], str] | None:
        """Return the skipped words and the word at this position; None without a word, or if it was returned."""
        if not self._reported <= position < len(self.text) or self.text[position].isspace():
            return None
        begin, end = self._around(position)
        skipped, self._reported = self.text[self._reported : begin].split(), end
        return skipped, self.text[begin:end]

    def rest(self) -> list[str]:
        """Return the words that were not returned yet."""
        rest, self._reported = self.text[self._reported :].split(), len(self.text)
        return rest

    def _around(self, position: int) -> tuple[int, int]:
        """Return the start and the end of the word at this position."""
        if _WITHOUT_SPACES.match(self.text, position):
            return position, self._match(_PUNCTUATION, position + 1)
        begin = position
        while begin > self._reported and not self.text[begin - 1].isspace():
            begin -= 1
        return begin, self._match(_REST_OF_WORD, position)

    def _match(self, pattern: re.Pattern[str], position: int) -> int:
        found = pattern.match(self.text, position)
        return found.end() if found is not None else position
