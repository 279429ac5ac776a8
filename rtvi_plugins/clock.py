"""What a clock is: seconds on some scale, and calls that fall due on it."""

from __future__ import annotations

import heapq
import math
from abc import ABC, abstractmethod
from collections.abc import Callable

from attrs import define

from .errors import report
from .utils.containment import let_through

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
        # All sessions play their audio at the same moments, so one moment has many timers.
        self._timers: dict[float, list[Timer]] = {}
        self._moments: list[float] = []

    @abstractmethod
    def now(self) -> float:
        """Seconds, never going back."""

    def call_at(self, due: float, callback: Callable[[], None]) -> Timer:
        """Have `callback` called when it is `due`. It must neither block nor raise."""
        if math.isnan(due):
            raise ValueError("a call is due at a number of seconds, and NaN is none")
        timer = Timer(due, callback)
        if due not in self._timers:
            self._timers[due] = []
            heapq.heappush(self._moments, due)
        self._timers[due].append(timer)
        return timer

    def fire_due(self) -> None:
        """Make the calls that are due, in the order in which they fall due."""
        while self._moments and self._moments[0] <= self.now():
            for timer in self._timers.pop(heapq.heappop(self._moments)):
                try:
                    timer.fire()
                except BaseException as error:  # one session's mistake must not stop the time of all
                    let_through(error)
                    report("a call that was due", error)

    def next_due(self) -> float:
        """When the next call falls due; infinity if there is none."""
        while self._moments and all(timer.callback is None for timer in self._timers[self._moments[0]]):
            del self._timers[heapq.heappop(self._moments)]
        return self._moments[0] if self._moments else math.inf
