"""Cut streamed text into sentences, as they are shown whole and will be spoken."""

from __future__ import annotations

import re
from typing import Final

from attrs import define

__all__ = ("Sentences",)

# An end of sentence is only one when something follows: "3.5" and "example.com" are not at an end. A run of stops is
# looked at from its beginning alone, and never twice: an LLM may be asked for ten thousand of them.
_END: Final = re.compile(r"(?<![.!?…])[.!?…]++[\"')\]]*+(?=\s)|\n+|[。！？]++")

#: What an end may still be made of, when more text comes.
_OPEN: Final = ".!?…\"')]"

#: A sentence that is longer is cut between two words; text without an end is spoken all the same.
_LONGEST: Final = 600

#: Words whose full stop ends no sentence.
_ABBREVIATIONS: Final = frozenset(("mr.", "mrs.", "ms.", "dr.", "prof.", "st.", "e.g.", "i.e.", "etc.", "no.", "vs."))


@define
class Sentences:
    """Collects text and gives away each sentence once it is whole."""

    _rest: str = ""
    #: Up to here, the rest is known to hold no end.
    _seen: int = 0

    def feed(self, text: str) -> list[str]:
        """The sentences that are whole now."""
        self._rest += text
        found: list[str] = []
        start = 0
        for end in _END.finditer(self._rest, self._seen):
            if self._rest[max(start, end.end() - 20) : end.end()].strip().rpartition(" ")[2].lower() in _ABBREVIATIONS:
                continue
            sentence, start = self._rest[start : end.end()].strip(), end.end()
            if sentence:
                found.append(sentence)
        self._rest = self._rest[start:]
        while len(self._rest) > _LONGEST:
            if cut := self._cut():
                found.append(cut)
        self._seen = len(self._rest.rstrip(_OPEN))
        return found

    def _cut(self) -> str:
        """The beginning of a sentence that is too long."""
        at = self._rest.rfind(" ", 1, _LONGEST) + 1 or _LONGEST
        cut, self._rest = self._rest[:at].strip(), self._rest[at:]
        return cut

    def flush(self) -> list[str]:
        """What is left when the text has ended."""
        rest, self._rest, self._seen = self._rest.strip(), "", 0
        return [rest] if rest else []
