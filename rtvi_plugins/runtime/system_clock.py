"""The system's clock, and a clock for tests that only moves when the test advances it.

They are not in `rtvi_plugins.clock` because they need anyio, which `import rtvi_plugins` must not import.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import final

import anyio

from ..clock import Clock, Timer

__all__ = ("Clock", "ManualClock", "SystemClock", "Timer")


def _whole(seconds: float) -> float:
    """Return a wait in whole milliseconds. uvloop's timers have no others, and a shorter wait would be repeated."""
    return max(0.0009, math.ceil(seconds * 1e3) / 1e3 - 1e-4) if 0 < seconds < math.inf else max(0.0, seconds)


@final
class SystemClock(Clock):
    """The system's monotonic clock. Its timers fire during `running`."""

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
        """Fire timers in a task of its own during the block."""
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
            with anyio.move_on_after(_whole(self._waits_until - self.now())):
                await self._sooner.wait()


@final
class ManualClock(Clock):
    """A clock for tests. Time stands still until it is moved."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 1_000.0

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the time forward, and make each call on the way at its own time."""
        until = self._now + seconds
        while (due := self.next_due()) <= until:
            self._now = max(self._now, due)
            self.fire_due()
        self._now = until

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Do nothing: `advance` makes the calls."""
        yield
