"""Wait for something: an event, a condition, an iterator. Distinguish a real cancellation from one raised by mistake.

Each message wakes a worker and a writer, and an idle session waits in about six places. On asyncio, an `anyio.Event`
is five objects and takes 3 µs to make, wait for and set; a future, which `OneShotEvent` uses, takes a tenth of that.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

import anyio

__all__ = ("Condition", "Iteration", "OneShotEvent", "cancellation_classes", "clear_stray_cancellation")


class OneShotEvent:
    """An event that is set once and has one waiting task."""

    __slots__ = ("_event", "_future")

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None
        self._event: anyio.Event | None = None
        try:
            # Under trio in guest mode a loop is running as well, but no task of it.
            task = asyncio.current_task()
        except RuntimeError:
            task = None
        if task is not None:
            self._future = task.get_loop().create_future()
        else:
            self._event = anyio.Event()

    def set(self) -> None:
        """Wake the waiting task. If none waits yet, its `wait` will return at once."""
        if self._future is None:
            assert self._event is not None
            self._event.set()
        elif not self._future.done():  # it is done also when the task that waited was cancelled
            self._future.set_result(None)

    def is_set(self) -> bool:
        """Return whether `set` was called."""
        if self._future is not None:  # that of a task that was cancelled while it waited is done, but not set
            return self._future.done() and not self._future.cancelled()
        return bool(self._event and self._event.is_set())

    async def wait(self) -> None:
        """Wait until it is set."""
        if self._future is not None:
            await self._future
        else:
            assert self._event is not None
            await self._event.wait()


class Condition:
    """Tasks that wait for a predicate. Call `notify` whenever it may have become true."""

    __slots__ = ("_event", "is_true")

    def __init__(self, is_true: Callable[[], bool]) -> None:
        self.is_true = is_true
        self._event: anyio.Event | None = None

    async def wait(self) -> None:
        """Return once the predicate is true, also when a task that was woken earlier has made it false again."""
        while not self.is_true():
            if self._event is None:
                self._event = anyio.Event()
            await self._event.wait()

    def notify(self) -> None:
        """Wake the tasks that wait if the predicate is true now."""
        if self._event is not None and self.is_true():
            event, self._event = self._event, None
            event.set()


def cancellation_classes() -> tuple[type[BaseException], ...]:
    """Return the exception class of a cancellation, for `reraise_control_flow`, if the running task is being cancelled.

    Otherwise return an empty tuple: if a cancellation is raised then, it is a mistake of a plugin.
    """
    return (anyio.get_cancelled_exc_class(),) if anyio.current_effective_deadline() == -math.inf else ()


async def clear_stray_cancellation() -> None:
    """Undo a `cancel()` that a plugin called on the framework's asyncio task in which it ran."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # trio has no such thing
        return
    if task is not None and task.cancelling() and not cancellation_classes():
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        while task.cancelling():
            task.uncancel()


T = TypeVar("T")


class Iteration(AsyncIterator[T], Generic[T]):
    """Iterate over the results of `take`, which raises `StopAsyncIteration` at the end."""

    __slots__ = ("_take",)

    def __init__(self, take: Callable[[], Awaitable[T]]) -> None:
        self._take = take

    async def __anext__(self) -> T:
        return await self._take()
