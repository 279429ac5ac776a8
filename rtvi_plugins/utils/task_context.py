"""Call code outside of the task that it would run in.

On asyncio there are two problems. A plain callback of the event loop runs in no task, so anyio cannot start or cancel
anything. And a synchronous function of a plugin could call `asyncio.current_task().cancel()` and cancel a task of the
framework. In both cases this module sets a finished task as the current one: anyio works, and cancelling the task does
nothing. On trio every call comes from a task, and no function can cancel a task this way.
"""

from __future__ import annotations

import asyncio

# asyncio documents these for those who implement tasks: see "Extending asyncio" in its documentation.
from asyncio.tasks import _enter_task, _leave_task  # pyright: ignore[reportPrivateUsage]
from collections.abc import Callable
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary

__all__ = ("TaskContext", "call_plugin")

P = ParamSpec("P")
R = TypeVar("R")

_finished: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[None]] = WeakKeyDictionary()


async def _end() -> None:
    """End at once."""


def _finished_task(loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
    """Return a task of this event loop that is finished, or about to finish."""
    task = _finished.get(loop)
    if task is None:
        task = _finished[loop] = loop.create_task(_end())
    return task


def _running_task() -> asyncio.Task[object] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # trio, or no event loop
        return None


def call_plugin(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a synchronous function of a plugin. It cannot cancel the running task."""
    task = _running_task()
    if task is None:
        return function(*args, **kwargs)
    loop = task.get_loop()
    finished = _finished_task(loop)
    if task is finished:
        return function(*args, **kwargs)
    _leave_task(loop, task)
    _enter_task(loop, finished)
    try:
        return function(*args, **kwargs)
    finally:
        _leave_task(loop, finished)
        _enter_task(loop, task)


class TaskContext:
    """A context manager for calls that may come from a plain callback. Make it in a task of the same event loop."""

    __slots__ = ("_depth", "_loop", "_task")

    def __init__(self) -> None:
        #: How many blocks are entered, one inside the other, since the finished task became the current one.
        self._depth = 0
        task = _running_task()
        self._loop = None if task is None else task.get_loop()
        self._task = None if self._loop is None else _finished_task(self._loop)

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
