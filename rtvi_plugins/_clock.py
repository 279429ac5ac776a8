"""What time it is, and a call back at a given time; the one place where the framework waits for time to pass."""

from __future__ import annotations

import heapq
import itertools
import math
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import final

import anyio
from attrs import define

__all__ = ("Clock", "ManualClock", "SystemClock", "Timer")


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
        timer = Timer(due, callback)
        heapq.heappush(self._timers, (due, next(self._count), timer))
        return timer

    def fire_due(self) -> None:
        """Make the calls that are due, in the order in which they fall due."""
        while self._timers and self._timers[0][0] <= self.now():
            heapq.heappop(self._timers)[2].fire()

    def next_due(self) -> float:
        """When the next call falls due; infinity if there is none."""
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else math.inf


@final
class SystemClock(Clock):
    """The machine's monotonic clock. Its timers fire while `running` is held."""

    def __init__(self) -> None:
        super().__init__()
        self._sooner: anyio.Event | None = None
        self._waits_until = math.inf

    def now(self) -> float:
        return time.monotonic()

    def call_at(self, due: float, callback: Callable[[], None]) -> Timer:
        timer = super().call_at(due, callback)
        if due < self._waits_until and self._sooner is not None:
            self._sooner.set()
        return timer

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Fire timers in a task of its own, for as long as this is held."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._run)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    async def _run(self) -> None:
        while True:
            self._sooner = anyio.Event()
            self.fire_due()
            self._waits_until = self.next_due()
            with anyio.move_on_after(max(0.0, self._waits_until - self.now())):
                await self._sooner.wait()


@final
class ManualClock(Clock):
    """A clock for tests: time stands still until it is moved."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 1_000.0

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Move time on, making every call that falls due on the way at its own time."""
        until = self._now + seconds
        while (due := self.next_due()) <= until:
            self._now = max(self._now, due)
            self.fire_due()
        self._now = until

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Nothing runs: `advance` makes the calls."""
        yield
