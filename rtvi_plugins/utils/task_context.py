"""Call code outside of the task that it would run in.

On asyncio there are two problems. A plain callback of the event loop runs in no task, so anyio cannot start or cancel
anything. And a synchronous function of a plugin could call `asyncio.current_task().cancel()` and cancel a task of the
framework. In both cases this module sets a finished task as the current one: anyio works, and cancelling the task does
nothing. On trio every call comes from a task, and no function can cancel a task this way.
"""

from __future__ import annotations

import asyncio
import threading

# asyncio documents these for those who implement tasks: see "Extending asyncio" in its documentation.
from asyncio.tasks import _enter_task, _leave_task  # pyright: ignore[reportPrivateUsage]
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

__all__ = ("TaskContext", "asyncio_task", "call_in", "call_plugin")

P = ParamSpec("P")
R = TypeVar("R")


class _OfThread(threading.local):
    """The finished task of the event loop that this thread runs. A task refers to its loop, so only one is kept."""

    finished: asyncio.Task[None] | None = None


_of_thread = _OfThread()


async def _end() -> None:
    """End at once."""


def _finished_task(loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
    """Return a task of this event loop that is finished, or about to finish."""
    task = _of_thread.finished
    if task is None or task.get_loop() is not loop:
        task = _of_thread.finished = loop.create_task(_end())
    return task


def asyncio_task() -> asyncio.Task[Any] | None:
    """Return the task that runs, or None on trio and outside of an event loop."""
    try:
        return asyncio.current_task()
    except RuntimeError:  # trio, or no event loop
        return None


def call_in(task: asyncio.Task[Any], function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function with another task of the running event loop as the current one."""
    loop = task.get_loop()
    caller = asyncio.current_task(loop)
    if caller is not None:
        _leave_task(loop, caller)
    _enter_task(loop, task)
    try:
        return function(*args, **kwargs)
    finally:
        _leave_task(loop, task)
        if caller is not None:
            _enter_task(loop, caller)


def call_plugin(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a synchronous function of a plugin. It cannot cancel the running task."""
    task = asyncio_task()
    if task is None:
        return function(*args, **kwargs)
    return call_in(_finished_task(task.get_loop()), function, *args, **kwargs)


class TaskContext:
    """A context manager for calls that may come from a plain callback. Make it in a task of the same event loop."""

    __slots__ = ("_depth", "_loop", "_task")

    def __init__(self) -> None:
        #: How many blocks are entered, one inside the other, since the finished task became the current one.
        self._depth = 0
        task = asyncio_task()
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
