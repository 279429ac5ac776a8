"""What a clock is: seconds on some scale, and calls that fall due on it."""

from __future__ import annotations

import heapq
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable

from attrs import define

from .errors import report

__all__ = ("Clock", "Timer")


@define(order=False, eq=False)
class Timer:
    """A call that is due; `cancel` it by forgetting the callback."""

    due: float
    callback: Callable[[], None] | None

    def cancel(self) -> None:
        self.callback = None

    def fire(self) -> None:
        callback, self.callback = self.callback, None
        if callback is not None:
            callback()


class Clock(ABC):
    """Seconds on some monotonic scale, and timers on it."""

    def __init__(self) -> None:
        self._timers: list[tuple[float, int, Timer]] = []
        self._count = itertools.count()

    @abstractmethod
    def now(self) -> float:
        """Seconds, never going back."""

    def call_at(self, due: float, callback: Callable[[], None]) -> Timer:
        """Have `callback` called when it is `due`. It must neither block nor raise."""
        if math.isnan(due):
            raise ValueError("a call is due at a number of seconds, and NaN is none")
        timer = Timer(due, callback)
        heapq.heappush(self._timers, (due, next(self._count), timer))
        return timer

    def fire_due(self) -> None:
        """Make the calls that are due, in the order in which they fall due."""
        while self._timers and self._timers[0][0] <= self.now():
            timer = heapq.heappop(self._timers)[2]
            try:
                timer.fire()
            except Exception as error:  # one session's mistake must not stop the time of all
                report("a call that was due", error)

    def next_due(self) -> float:
        """When the next call falls due; infinity if there is none."""
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else math.inf
