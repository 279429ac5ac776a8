"""Clocks: the time of a session, and timers on it."""

from __future__ import annotations

import heapq
import math
from abc import ABC, abstractmethod
from collections.abc import Callable

from attrs import define

from .errors import report
from .utils.plugin_calls import reraise_control_flow

__all__ = ("Clock", "Deadline", "Timer")


@define(order=False, eq=False)
class Timer:
    """A call that is due at a certain time."""

    due: float
    callback: Callable[[], None] | None

    def cancel(self) -> None:
        """Forget the call."""
        self.callback = None

    def fire(self) -> None:
        """Make the call, unless it was made or cancelled."""
        callback, self.callback = self.callback, None
        if callback is not None:
            callback()


class Clock(ABC):
    """A monotonic clock, with timers."""

    def __init__(self) -> None:
        # All sessions play their audio at the same times, so many timers are due at one time.
        self._timers: dict[float, list[Timer]] = {}
        self._moments: list[float] = []

    @abstractmethod
    def now(self) -> float:
        """Return the time in seconds. It never goes back."""

    def call_at(self, due: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` when the time is `due`. It must neither block nor raise."""
        if math.isnan(due):
            raise ValueError("The time of a call must be a number of seconds, not NaN.")
        timer = Timer(due, callback)
        if due not in self._timers:
            self._timers[due] = []
            heapq.heappush(self._moments, due)
        self._timers[due].append(timer)
        return timer

    def call_after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` after this many seconds. The callback must neither block nor raise."""
        return self.call_at(self.now() + seconds, callback)

    def fire_due(self) -> None:
        """Make the calls that are due, in order."""
        while self._moments and self._moments[0] <= self.now():
            for timer in self._timers.pop(heapq.heappop(self._moments)):
                try:
                    timer.fire()
                except BaseException as error:  # one session's mistake must not stop the timers of all
                    reraise_control_flow(error)
                    report("a timer", error)

    def next_due(self) -> float:
        """Return when the next call is due; infinity if there is none."""
        while self._moments and all(timer.callback is None for timer in self._timers[self._moments[0]]):
            del self._timers[heapq.heappop(self._moments)]
        return self._moments[0] if self._moments else math.inf


class Deadline:
    """A call whose time may be moved often. Moving it to a later time needs no new timer."""

    __slots__ = ("_callback", "_clock", "_due", "_timer")

    def __init__(self, clock: Clock, callback: Callable[[], None]) -> None:
        self._clock = clock
        self._callback = callback
        self._due = math.inf
        self._timer: Timer | None = None

    def move(self, due: float) -> None:
        """Move the call to this time. Infinity means never."""
        if self._timer is not None and due < self._timer.due:
            self.cancel()
        self._due = due
        if self._timer is None and due < math.inf:
            self._timer = self._clock.call_at(due, self._fire)

    def no_later_than(self, due: float) -> None:
        """Move the call to this time if it is due later."""
        if due < self._due:
            self.move(due)

    def cancel(self) -> None:
        """Do not make the call. `move` may be called again."""
        self._due = math.inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        due, self._due, self._timer = self._due, math.inf, None
        if self._clock.now() < due:
            self.move(due)
        else:
            self._callback()
