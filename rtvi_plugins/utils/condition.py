"""Wait until something is true, when several tasks may wait and it may become false again."""

from __future__ import annotations

from collections.abc import Callable

import anyio

__all__ = ("Condition",)


class Condition:
    """Tasks that wait for a predicate. Call `notify` whenever it may have become true."""

    __slots__ = ("_event", "_is_true")

    def __init__(self, is_true: Callable[[], bool]) -> None:
        self._is_true = is_true
        self._event: anyio.Event | None = None

    async def wait(self) -> None:
        """Return once the predicate is true, also when a task that was woken earlier has made it false again."""
        while not self._is_true():
            if self._event is None:
                self._event = anyio.Event()
            await self._event.wait()

    def notify(self) -> None:
        """Wake the tasks that wait if the predicate is true now."""
        if self._event is not None and self._is_true():
            event, self._event = self._event, None
            event.set()
