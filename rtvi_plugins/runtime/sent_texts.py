"""The last texts that have left a session, for a client that comes back on another connection."""

from __future__ import annotations

__all__ = ("SentTexts",)

#: How many texts are kept, and how many characters of them.
_TEXTS, _SIZE = 512, 1_048_576


class SentTexts:
    """A list of texts in which a position is a number that stays: that of the first text is 0."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._size = 0
        #: The position of the first text that is kept.
        self._first = 0

    @property
    def end(self) -> int:
        """Return the position of the next text."""
        return self._first + len(self._texts)

    def append(self, text: str) -> None:
        """Add a text. The oldest ones are dropped if there are too many."""
        self._texts.append(text)
        self._size += len(text)
        drop = 0
        while self._size > _SIZE or len(self._texts) - drop > _TEXTS:
            self._size -= len(self._texts[drop])
            drop += 1
        if drop:
            del self._texts[:drop]
            self._first += drop

    def covers(self, position: int) -> bool:
        """Return whether all texts from a position on are kept."""
        return self._first <= position <= self.end

    def cut(self, position: int) -> list[str]:
        """Remove the texts from a position on, and return those that are kept."""
        at = max(0, position - self._first)
        texts = self._texts[at:]
        del self._texts[at:]
        self._size -= sum(map(len, texts))
        return texts
