"""Call code of plugins: contain its exceptions, and keep it away from the framework's own tasks.

An exception of any class ends only the call that raised it, except for Ctrl-C of the operator, the cancellation of a
task, and the end of a closed generator.

On asyncio there are two problems with tasks. A plain callback of the event loop runs in no task, so anyio cannot start
or cancel anything. And a synchronous function of a plugin could call `asyncio.current_task().cancel()` and cancel a
task of the framework. In both cases this module sets a finished task as the current one: anyio works, and cancelling
the task does nothing. On trio every call comes from a task, and no function can cancel a task this way.
"""

from __future__ import annotations

import asyncio
import dis
import signal
import threading

# asyncio documents these for those who implement tasks: see "Extending asyncio" in its documentation.
from asyncio.tasks import _enter_task, _leave_task  # pyright: ignore[reportPrivateUsage]
from collections.abc import Callable, Iterator
from types import CodeType, TracebackType
from typing import Any, ParamSpec, TypeVar, cast

__all__ = ("TaskContext", "asyncio_task", "call_in", "call_plugin", "is_ctrl_c", "reraise_control_flow")

_RAISE = dis.opmap["RAISE_VARARGS"]

#: The modules of event loops that turn SIGINT into an exception.
_LOOPS = ("asyncio.runners", "trio._core")


def reraise_control_flow(error: BaseException, *more: type[BaseException]) -> None:
    """Raise an exception again if it must not be contained, or if it is one of `more`. This includes groups.

    An async caller passes the cancellation class in `more`.
    """
    if is_ctrl_c(error) or _holds(error, more) or (isinstance(error, GeneratorExit) and not _is_raised(error)):
        raise error


def _holds(error: BaseException, classes: tuple[type[BaseException], ...]) -> bool:
    return any(isinstance(each, classes) for each in _members(error))


def _members(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions of a group and of all groups in it. Yield any other exception itself."""
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseExceptionGroup):
            waiting.extend(cast("BaseExceptionGroup[BaseException]", each).exceptions)
        else:
            yield each


def is_ctrl_c(error: BaseException) -> bool:
    """Return whether an exception is a Ctrl-C of the operator, or a group that holds one.

    The place where it was raised decides. The handler of SIGINT raises a Ctrl-C, or Python raises it between two
    instructions in the main thread. A plugin raises with a `raise` statement.
    """
    return any(_is_ctrl_c(each) for each in _members(error))


def _is_ctrl_c(error: BaseException) -> bool:
    if not isinstance(error, KeyboardInterrupt) or (place := _innermost(error.__traceback__)) is None:
        return False
    frame, handler = place.tb_frame, signal.getsignal(signal.SIGINT)
    if str(frame.f_globals.get("__name__")).startswith(_LOOPS) or frame.f_code is _code(handler):
        return True
    if handler is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        return False
    return not _is_raised(error)  # the default handler has no frame of its own


def _is_raised(error: BaseException) -> bool:
    """Return whether a `raise` statement raised the exception, and not a signal."""
    place = _innermost(error.__traceback__)
    return place is not None and place.tb_frame.f_code.co_code[place.tb_lasti] == _RAISE


def _innermost(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback


def _code(handler: Any) -> CodeType | None:
    """Return the code of a handler, which may be a method or a partial."""
    function = getattr(handler, "func", handler)
    return getattr(getattr(function, "__func__", function), "__code__", None)


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
