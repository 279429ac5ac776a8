"""Make calls from plain callbacks of an event loop as if a task had made them.

A transport of asyncio's hears of its peer in callbacks that no task runs. There anyio does not know which library it
runs on, so nothing can be started, awaited or cancelled. A session therefore lends the name of its own task to a call
that comes without one. On trio every call comes from a task.
"""

from __future__ import annotations

import asyncio

# For whoever runs coroutines: see "Extending asyncio" in the documentation.
from asyncio.tasks import _enter_task, _leave_task  # pyright: ignore[reportPrivateUsage]

__all__ = ("Home",)


class Home:
    """The task of a session, which made this object; use it as a context manager around each call from outside."""

    __slots__ = ("_depth", "_loop", "_task")

    def __init__(self) -> None:
        #: How many calls are under way, one inside the other, since the name was lent; 0 when it is not.
        self._depth = 0
        try:
            # Under trio in guest mode a loop is running as well, but no task of it.
            self._task = asyncio.current_task()
        except RuntimeError:
            self._task = None
        self._loop = None if self._task is None else self._task.get_loop()

    def __enter__(self) -> None:
        if self._depth:
            self._depth += 1
        elif self._loop is not None and self._task is not None and asyncio.current_task(self._loop) is None:
            _enter_task(self._loop, self._task)
            self._depth = 1

    def __exit__(self, *raised: object) -> None:
        if self._depth:
            self._depth -= 1
            if not self._depth and self._loop is not None and self._task is not None:
                _leave_task(self._loop, self._task)
