"""Log a warning that may occur thousands of times a second once a minute."""

from __future__ import annotations

import logging
from time import monotonic

__all__ = ("LogThrottle",)

_SECONDS = 60.0


class LogThrottle:
    """Logs the first of many similar warnings, and counts those of the next minute."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._next = float("-inf")
        self._suppressed = 0

    def warn(self, text: str, *arguments: object) -> None:
        """Log a warning with the number of those suppressed before it, or count it."""
        now = monotonic()
        if now < self._next:
            self._suppressed += 1
            return
        more = f" ({self._suppressed} more like this since the last such line)" if self._suppressed else ""
        self._next, self._suppressed = now + _SECONDS, 0
        self._log.warning(f"{text}%s", *arguments, more)
