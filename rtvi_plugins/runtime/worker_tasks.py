"""Run many short coroutines concurrently on few tasks: the work of one session.

A task for each action costs more than most actions do. So a worker takes work from the queue, one item after the other.
As long as an item ends without waiting for anything, the same worker takes the next. When one waits for the first time,
another worker takes over the queue: a parked one, or a new one. So items start in order, each runs in one task from its
beginning to its end (cancel scopes and `asyncio.timeout` work inside it), and none delays another by waiting.

On asyncio, if no worker leads, an item starts at once: `submit` makes its first step in the name of a parked worker,
and wakes that worker only if the item waits. Most actions never wait, and need no further step of the event loop.

A step is the code between two moments at which a coroutine waits. On asyncio, any caller can run the first step with a
waiting task as the current task, so `current_task()` and cancel scopes are those of the task that will run the other
steps. This is not possible on trio.
"""

from __future__ import annotations

import asyncio
import math
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context, copy_context
from functools import partial
from typing import Any, TypeAlias

import anyio
from anyio.abc import TaskGroup
from attrs import define

from ..errors import report
from ..utils.plugin_calls import asyncio_task, call_in, reraise_control_flow
from ..utils.waiting import OneShotEvent, cancellation_classes, clear_stray_cancellation

__all__ = ("Work", "Workers")


@define(eq=False)
class _Begun:
    """A coroutine that has made its first step, and what it waits for."""

    coroutine: Coroutine[Any, Any, None]
    context: Context
    waits_for: Any


def _first_step(coroutine: Coroutine[Any, Any, None], context: Context, task: asyncio.Task[Any]) -> _Begun | None:
    """Make the first step of a coroutine in the name of a task. Return None if the coroutine is over."""
    try:
        return _Begun(coroutine, context, call_in(task, context.run, coroutine.send, None))
    except StopIteration:
        return None
    except BaseException as error:
        reraise_control_flow(error)
        report("an action", error)
        return None


@types.coroutine
def _other_steps(begun: _Begun, cancellation: BaseException | None) -> Generator[Any, Any, None]:
    """Make the other steps, in the task that awaits this. `cancellation` was raised since the first step, if any."""
    step: Callable[[Any], Any]
    value: Any
    if cancellation is not None and not (begun.waits_for is not None and begun.waits_for.cancel()):
        step, value = begun.coroutine.throw, cancellation
    else:
        try:
            step, value = begun.coroutine.send, (yield begun.waits_for)
        except BaseException as raised:
            step, value = begun.coroutine.throw, raised
    yield from _steps(begun.coroutine, begun.context, step, value, None)


@types.coroutine
def _all_steps(
    coroutine: Coroutine[Any, Any, None], context: Context, on_wait: Callable[[], None]
) -> Generator[Any, Any, None]:
    """Make all steps, in the task that awaits this. `on_wait` is called when the coroutine waits for the first time."""
    yield from _steps(coroutine, context, coroutine.send, None, on_wait)


def _steps(
    coroutine: Coroutine[Any, Any, None],
    context: Context,
    step: Callable[[Any], Any],
    value: Any,
    on_wait: Callable[[], None] | None,
) -> Generator[Any, Any, None]:
    while True:
        try:
            waits_for = context.run(step, value)
        except StopIteration:
            return
        if on_wait is not None:
            on_wait()
            on_wait = None
        try:
            step, value = coroutine.send, (yield waits_for)
        except BaseException as raised:
            step, value = coroutine.throw, raised


#: How many idle workers are kept. More would only help a session with more actions that wait at once.
_MOST_PARKED = 4

Run: TypeAlias = "Callable[[], Coroutine[Any, Any, None]]"


@define(eq=False)
class Work:
    """A coroutine to run. If it is cancelled before it starts, it never does."""

    run: Run
    scope: anyio.CancelScope | None = None
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True
        if self.scope is not None:
            self.scope.cancel()


@define(eq=False)
class _Worker:
    """A task that takes work from the queue (it leads), or waits within an item, or is parked until it is woken."""

    scope: anyio.CancelScope
    #: The task, on asyncio, where it can lend its name to a first step.
    task: asyncio.Task[Any] | None = None
    woken: OneShotEvent | None = None
    #: The item whose first step was made in this worker's name, and what is left of it.
    work: Work | None = None
    begun: _Begun | None = None


class Workers:
    """The workers of one session."""

    __slots__ = ("_context", "_leading_worker", "_parked_workers", "_queued_work", "_tasks")

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._context = copy_context()
        self._queued_work: list[Work] = []
        self._parked_workers: list[_Worker] = []
        self._leading_worker: _Worker | None = None

    def submit(self, run: Run, *, later: bool = False) -> Work:
        """Run a coroutine after those before it have started: at once if possible, unless it is for `later`."""
        work = Work(run)
        if (
            self._leading_worker is None
            and self._parked_workers
            and not later
            and (task := self._parked_workers[-1].task) is not None
        ):
            self._begin_at_once(work, self._parked_workers.pop(), task)
        else:
            self._queued_work.append(work)
            if self._leading_worker is None:
                self._wake_worker()
        return work

    def _wake_worker(self) -> None:
        """Make a parked worker the leader, or a new one."""
        if self._parked_workers:
            self._leading_worker = self._parked_workers.pop()
            assert self._leading_worker.woken is not None
            self._leading_worker.woken.set()
        else:
            self._leading_worker = _Worker(anyio.CancelScope())
            self._tasks.start_soon(self._work, self._leading_worker)

    # ---- a first step made at once ---------------------------------------------------------------------------------

    def _begin_at_once(self, work: Work, worker: _Worker, task: asyncio.Task[Any]) -> None:
        """Make the first step of an item in the name of a parked worker."""
        self._leading_worker = worker  # what is submitted meanwhile waits
        work.scope = worker.scope
        try:
            worker.begun = _first_step(work.run(), self._context.copy(), task)
        finally:
            self._leading_worker = None
            if worker.begun is not None:
                assert worker.woken is not None
                worker.work = work
                worker.woken.set()
            else:
                work.scope = None
                if not work.cancelled and not task.cancelling():  # else it has to wake up before it can have another
                    self._parked_workers.append(worker)
            if self._queued_work:
                self._wake_worker()

    # ---- what a worker does ----------------------------------------------------------------------------------------

    async def _work(self, worker: _Worker) -> None:
        """Take work while leading, then park. End when enough others are parked already."""
        worker.task = asyncio_task()
        while True:
            with worker.scope:
                while True:
                    await self._lead(worker)
                    if worker.scope.cancel_called:  # it cannot be used again, even if the item that it was for is over
                        break
                    if len(self._parked_workers) >= _MOST_PARKED:
                        return
                    await self._park(worker)
            worker.scope = anyio.CancelScope()

    async def _park(self, worker: _Worker) -> None:
        """Wait until there is work for this worker. Finish an item whose first step was made in its name."""
        worker.woken = OneShotEvent()
        self._parked_workers.append(worker)
        error: BaseException | None = None
        try:
            await worker.woken.wait()
        except BaseException as raised:
            if worker in self._parked_workers:
                self._parked_workers.remove(worker)
            if worker.begun is None:
                reraise_control_flow(raised, *cancellation_classes())
                return await clear_stray_cancellation()  # an item has cancelled the task in whose name it started
            error = raised
        work, begun, worker.work, worker.begun = worker.work, worker.begun, None, None
        if work is not None and begun is not None:
            await self._finish_work(work, worker, _other_steps(begun, error))

    async def _lead(self, worker: _Worker) -> None:
        """Run items until one is cancelled, which uses up the worker's scope, or another worker leads."""
        while self._queued_work and self._leading_worker in (worker, None) and not worker.scope.cancel_called:
            self._leading_worker = worker
            work = self._queued_work.pop(0)
            if not work.cancelled:
                work.scope = worker.scope
                hand_over = partial(self._hand_over, worker)
                await self._finish_work(work, worker, _all_steps(work.run(), self._context.copy(), hand_over))
        if self._leading_worker is worker:
            self._leading_worker = None
            if self._queued_work:
                self._wake_worker()

    async def _finish_work(self, work: Work, worker: _Worker, steps: Awaitable[None]) -> None:
        try:
            await steps
        except anyio.get_cancelled_exc_class():
            # An action may raise this without having been cancelled. That ends nothing but itself.
            if worker.scope.cancel_called or anyio.current_effective_deadline() == -math.inf:
                raise
        except BaseException as error:
            reraise_control_flow(error)
            report("an action", error)
        finally:
            work.scope = None
        await clear_stray_cancellation()

    def _hand_over(self, worker: _Worker) -> None:
        """Let another worker lead, if there is work: the item that this worker runs waits for something."""
        if self._leading_worker is worker:
            self._leading_worker = None
            if self._queued_work:
                self._wake_worker()
