"""The threads in which `def` actions run: a bounded number for all sessions of a host."""

from __future__ import annotations

import math
from collections.abc import Callable
from threading import Lock
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
from attrs import define, field

from ..errors import Busy

__all__ = ("Threads", "action_threads")

_thread_limiter: anyio.lowlevel.RunVar[anyio.CapacityLimiter] = anyio.lowlevel.RunVar("threads for actions")


def action_threads() -> anyio.CapacityLimiter:
    """Return the limiter of the event loop for these threads. It limits nothing; it counts those that are waited for.

    The limit is that of `Threads`, which also counts threads that are no longer waited for.
    """
    limiter = _thread_limiter.get(None)
    if limiter is None:
        limiter = anyio.CapacityLimiter(math.inf)
        _thread_limiter.set(limiter)
    return limiter


@define(eq=False)
class Threads:
    """A bounded number of threads. A thread whose action ran into its deadline cannot be stopped, and still counts."""

    limit: int
    running: int = 0
    abandoned: int = 0
    _count_lock: Lock = field(factory=Lock)

    def take(self) -> bool:
        """Reserve a thread. Return False when all are in use."""
        with self._count_lock:
            free = self.running < self.limit
            self.running += free
            return free

    def give_back(self) -> None:
        """Release a thread. The thread calls this, or the caller if the thread did not start."""
        with self._count_lock:
            self.running -= 1

    async def run(self, function: Callable[[], Any]) -> Any:
        """Call a function in a thread and return its result. On cancellation the thread is abandoned.

        Raise `Busy` when all threads are in use.
        """
        if not self.take():
            raise Busy(f"All {self.limit} threads for actions are in use; send again later.")

        begun = Lock()  # acquired by the thread when it starts, or by a cancellation before that

        def call() -> tuple[Any, BaseException | None]:
            if not begun.acquire(blocking=False):
                return None, None
            try:
                return function(), None
            except BaseException as error:  # an event loop cannot take every class of exception from a thread
                return None, error
            finally:
                self.give_back()

        try:
            result, raised = await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=action_threads())
        except BaseException as error:
            if begun.acquire(blocking=False):  # the thread did not start
                self.give_back()
            elif isinstance(error, anyio.get_cancelled_exc_class()):
                self.abandoned += 1
            raise
        if raised is not None:
            raise raised
        return result
