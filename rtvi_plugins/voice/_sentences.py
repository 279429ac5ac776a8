"""Cut streamed text into sentences, as they are shown whole and will be spoken."""

from __future__ import annotations

import re

from attrs import define

__all__ = ("Sentences",)

# An end of sentence is only one when something follows: "3.5" and "example.com" are not at an end.
_END = re.compile(r"[.!?…]+[\"')\]]*(?=\s)|\n+|[。！？]+")

#: Words whose full stop ends no sentence.
_ABBREVIATIONS = frozenset(("mr.", "mrs.", "ms.", "dr.", "prof.", "st.", "e.g.", "i.e.", "etc.", "no.", "vs."))


@define
class Sentences:
    """Collects text and gives away each sentence once it is whole."""

    _rest: str = ""

    def feed(self, text: str) -> list[str]:
        """The sentences that are whole now."""
        self._rest += text
        found: list[str] = []
        start = 0
        for end in _END.finditer(self._rest):
            sentence = self._rest[start : end.end()].strip()
            if sentence and sentence.rpartition(" ")[2].lower() not in _ABBREVIATIONS:
                found.append(sentence)
                start = end.end()
        self._rest = self._rest[start:]
        return found

    def flush(self) -> list[str]:
        """What is left when the text has ended."""
        rest, self._rest = self._rest.strip(), ""
        return [rest] if rest else []
