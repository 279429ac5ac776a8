"""Words, from the times of their characters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define

from rtvi_plugins.kinds import Word

__all__ = ("Words",)


#: The fields. ElevenLabs' documentation has had the second names, and "Text to Dialogue" has the third ones.
_NAMES = (
    ("chars",),
    ("charStartTimesMs", "charsStartTimesMs", "char_start_times_ms"),
    ("charDurationsMs", "charsDurationsMs", "char_durations_ms"),
)


def _list(alignment: Mapping[str, Any], *names: str) -> Sequence[Any]:
    return next((value for name in names if (value := alignment.get(name))), ())


@define(eq=False)
class Words:
    """Joins characters to words. A word may continue in the next message."""

    _text: str = ""
    _start: float = 0.0
    _end: float = 0.0

    def take(self, alignment: Mapping[str, Any], began: float) -> list[Word]:
        """Return the words that end in this alignment. `began` is when its audio begins, in seconds.

        Without the times of all characters there are none: the vendor's SDK says that each field may be absent.
        """
        found: list[Word] = []
        chars, starts, durations = (_list(alignment, *names) for names in _NAMES)
        if not len(chars) == len(starts) == len(durations):
            return found
        for char, start, lasts in zip(chars, starts, durations, strict=True):
            if char.isspace():
                found += self.end()
                continue
            if not self._text:
                self._start = began + start / 1000
            self._text, self._end = self._text + char, began + (start + lasts) / 1000
        return found

    def end(self) -> list[Word]:
        """Return the word that has not ended, if there is one."""
        word, self._text = self._text, ""
        return [Word(word, round(self._start, 3), round(self._end, 3))] if word else []
