"""Log what may happen thousands of times a second, once a minute."""

from __future__ import annotations

import logging
from time import monotonic

__all__ = ("Seldom",)

_SECONDS = 60.0


class Seldom:
    """Warnings of one kind. The first is logged; those of the next minute are counted."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._next = float("-inf")
        self._left_out = 0

    def warn(self, text: str, *arguments: object) -> None:
        """Log a warning, with the number of those that were left out before it, or count it."""
        now = monotonic()
        if now < self._next:
            self._left_out += 1
            return
        more = f" ({self._left_out} more like this since the last such line)" if self._left_out else ""
        self._next, self._left_out = now + _SECONDS, 0
        self._log.warning(f"{text}%s", *arguments, more)
