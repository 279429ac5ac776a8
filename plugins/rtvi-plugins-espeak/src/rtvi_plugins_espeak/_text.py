"""Text made ready to be spoken: cleaned, cut into parts that are soon said, and its words found again."""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import define, field, frozen

__all__ = ("LONGEST", "Part", "Words", "clean", "parts")

#: The longest part, in characters. A part is some 15 ms of work, in which no other session is served.
LONGEST = 300

#: Control characters are commands to espeak (U+0001 begins one) or the end of the text (U+0000), and lone surrogates
#: are no text. The space in their place keeps all positions.
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
    """What is said in one go, and whether a sentence ends with it."""

    text: str
    pause: bool


def clean(text: str) -> str:
    """The text with a space for each character that cannot be spoken."""
    return _UNSPEAKABLE.sub(" ", text)


def parts(text: str) -> Iterator[Part]:
    """The text in parts of at most `LONGEST` characters, cut where a sentence ends, or else between words."""
    text, at = clean(text), 0
    while len(text) - at > LONGEST:
        length, pause = _cut(text[at : at + LONGEST])
        yield Part(text[at : at + length], pause)
        at += length
    yield Part(text[at:], pause=True)


def _cut(window: str) -> tuple[int, bool]:
    """How much of the window to say, and whether a sentence ends there."""
    for pattern, pause in ((_SENTENCE_END, True), (_SPACE, False)):
        ends = [found.end() for found in pattern.finditer(window)]
        if ends:
            return ends[-1], pause
    return len(window), False


@define
class Words:
    """The words of a part as it writes them, found by where espeak says that it begins one.

    espeak takes numbers and hyphenated words apart, counts within them at its own discretion, and says nothing of the
    second of two words that it speaks as one ("of the"). A word is therefore what stands between spaces, told once.
    In scripts without spaces it is a character, or several where espeak says nothing of those between.
    """

    text: str
    _told: int = field(default=0, init=False)

    def at(self, position: int) -> tuple[list[str], str] | None:
        """The words that were passed over, and the one at this position; None where there is none or it was told."""
        if not self._told <= position < len(self.text) or self.text[position].isspace():
            return None
        begin, end = self._around(position)
        passed, self._told = self.text[self._told : begin].split(), end
        return passed, self.text[begin:end]

    def rest(self) -> list[str]:
        """The words that were not told."""
        rest, self._told = self.text[self._told :].split(), len(self.text)
        return rest

    def _around(self, position: int) -> tuple[int, int]:
        """Where the word begins and ends that has a character here."""
        if _WITHOUT_SPACES.match(self.text, position):
            return position, self._match(_PUNCTUATION, position + 1)
        begin = position
        while begin > self._told and not self.text[begin - 1].isspace():
            begin -= 1
        return begin, self._match(_REST_OF_WORD, position)

    def _match(self, pattern: re.Pattern[str], position: int) -> int:
        found = pattern.match(self.text, position)
        return found.end() if found is not None else position
