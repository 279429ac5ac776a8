"""Measure how late the event loop is. It is late in a process that has more work than it can do in time."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio

__all__ = ("Lateness",)

#: How often the delay is measured, in seconds.
_EVERY: Final = 0.25
#: How much of the greatest delay is left at the next measurement. After five seconds it is a hundredth.
_DECAY: Final = 0.8


class Lateness:
    """The greatest delay of the event loop in the last seconds, in `seconds`. It decays: see `_DECAY`."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.seconds = 0.0
        self._now = now

    def note(self, late: float) -> None:
        """Note by how many seconds a task of the event loop was late."""
        self.seconds = max(late, self.seconds * _DECAY, 0.0)

    @asynccontextmanager
    async def measuring(self) -> AsyncGenerator[None]:
        """Measure in a task of its own during the block."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._measure)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    async def _measure(self) -> None:
        while True:
            begun = self._now()
            await anyio.sleep(_EVERY)
            self.note(self._now() - begun - _EVERY)
