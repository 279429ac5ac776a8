"""A token bucket: how much of something may come in the long run, and at once."""

from __future__ import annotations

__all__ = ("Bucket",)


class Bucket:
    """A bucket of `burst` tokens that fills by `rate` tokens a second. It is full at the beginning."""

    __slots__ = ("_burst", "_filled", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = self._tokens = float(burst)
        self._filled = now

    def take(self, tokens: float, now: float) -> bool:
        """Take tokens; return False, and take none, when there are not as many."""
        left = self._tokens + (now - self._filled) * self._rate
        self._filled = now
        if left < tokens:
            self._tokens = left
            return False
        self._tokens = min(left, self._burst) - tokens
        return True
