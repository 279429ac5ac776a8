"""Run many short jobs concurrently on few tasks.

A task for each job costs more than most jobs do. So a worker takes jobs from the queue one after the other, and as
long as a job ends without waiting for anything, the same worker goes on to the next. The moment a job first waits,
another worker takes over the queue: a parked one, or a new one. Jobs therefore start in order, each of them runs in
one task from its beginning to its end (so that cancel scopes and `asyncio.timeout` work inside it), and none holds up
another by waiting.

On asyncio a job is begun at once where nobody leads: its first step runs inside `submit`, in the name of a parked
worker, which is woken only if the job waits. Most jobs never do, and cost no turn of the event loop.
"""

from __future__ import annotations

import asyncio
import math
import types

# For whoever runs coroutines: see "Extending asyncio" in the documentation.
from asyncio.tasks import _enter_task, _leave_task  # pyright: ignore[reportPrivateUsage]
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context, copy_context
from functools import partial
from typing import Any, TypeAlias

import anyio
from anyio.abc import TaskGroup
from attrs import define

from ..errors import report
from ..utils.cancellation import cancellation_classes, clear_stray_cancellation
from ..utils.control_flow import reraise_control_flow
from ..utils.one_shot_event import OneShotEvent

__all__ = ("Job", "Workers")

#: Workers that are kept for later. More only help a session with more actions waiting at once.
_PARKED = 4

Run: TypeAlias = "Callable[[], Coroutine[Any, Any, None]]"


@define(eq=False)
class Job:
    """Something to run. Cancelling it before it starts means that it never does."""

    run: Run
    scope: anyio.CancelScope | None = None
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True
        if self.scope is not None:
            self.scope.cancel()


@define(eq=False)
class _Begun:
    """A job that has made its first step and waits; the steps that follow are its worker's to make."""

    job: Job
    coroutine: Coroutine[Any, Any, None]
    context: Context
    waited: Any


@define(eq=False)
class _Worker:
    """A task that leads the queue, waits inside a job, or is parked until it is woken."""

    scope: anyio.CancelScope
    #: The task, where it can lend its name to a job's first step: on asyncio.
    task: asyncio.Task[Any] | None = None
    woken: OneShotEvent | None = None
    begun: _Begun | None = None


class Workers:
    """The workers of one session."""

    __slots__ = ("_context", "_jobs", "_leader", "_parked", "_tasks")

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._context = copy_context()
        self._jobs: list[Job] = []
        self._parked: list[_Worker] = []
        self._leader: _Worker | None = None

    def submit(self, run: Run, *, later: bool = False) -> Job:
        """Have a job run as soon as those before it have started: at once if can be, unless it is for `later`."""
        job = Job(run)
        if self._leader is None and self._parked and not later and (task := self._parked[-1].task) is not None:
            self._begin(job, self._parked.pop(), task)
        else:
            self._jobs.append(job)
            if self._leader is None:
                self._wake()
        return job

    def _wake(self) -> None:
        """Make a parked worker the leader, or a new one."""
        if self._parked:
            self._leader = self._parked.pop()
            assert self._leader.woken is not None
            self._leader.woken.set()
        else:
            self._leader = _Worker(anyio.CancelScope())
            self._tasks.start_soon(self._work, self._leader)

    # ---- a first step made at once ---------------------------------------------------------------------------------

    def _begin(self, job: Job, worker: _Worker, task: asyncio.Task[Any]) -> None:
        """Make a job's first step here and now, in the name of a parked worker."""
        self._leader = worker  # what is submitted meanwhile waits
        job.scope = worker.scope
        try:
            worker.begun = self._first_step(job, task)
        finally:
            self._leader = None
            if worker.begun is not None:
                assert worker.woken is not None
                worker.woken.set()
            else:
                job.scope = None
                if not job.cancelled and not task.cancelling():  # else it has to wake up before it can have another
                    self._parked.append(worker)
            if self._jobs:
                self._wake()

    def _first_step(self, job: Job, task: asyncio.Task[Any]) -> _Begun | None:
        """The job if it waits for something; None if it is over."""
        context, coroutine = self._context.copy(), job.run()
        loop = task.get_loop()
        caller = asyncio.current_task(loop)
        if caller is not None:
            _leave_task(loop, caller)
        _enter_task(loop, task)
        try:
            return _Begun(job, coroutine, context, context.run(coroutine.send, None))
        except StopIteration:
            return None
        except BaseException as error:
            reraise_control_flow(error)
            report("a job", error)
            return None
        finally:
            _leave_task(loop, task)
            if caller is not None:
                _enter_task(loop, caller)

    # ---- what a worker does ----------------------------------------------------------------------------------------

    async def _work(self, worker: _Worker) -> None:
        """Take jobs while leading, then park; end when enough others are parked already."""
        worker.task = _asyncio_task()
        while True:
            with worker.scope:
                while True:
                    await self._lead(worker)
                    if worker.scope.cancel_called:  # it is spent, also where the job that it was for is over
                        break
                    if len(self._parked) >= _PARKED:
                        return
                    await self._park(worker)
            worker.scope = anyio.CancelScope()

    async def _park(self, worker: _Worker) -> None:
        """Wait until there is a job for this worker. One that was begun in its name is ended."""
        worker.woken = OneShotEvent()
        self._parked.append(worker)
        error: BaseException | None = None
        try:
            await worker.woken.wait()
        except BaseException as raised:
            if worker in self._parked:
                self._parked.remove(worker)
            if worker.begun is None:
                reraise_control_flow(raised, *cancellation_classes())
                return await clear_stray_cancellation()  # a job has cancelled the task in whose name it was begun
            error = raised
        begun, worker.begun = worker.begun, None
        if begun is not None:
            steps = _steps(begun.coroutine, begun.context, _nothing, first=False, waited=begun.waited, error=error)
            await self._end(begun.job, worker, steps)

    async def _lead(self, worker: _Worker) -> None:
        """Run jobs until one is cancelled (the worker's scope is spent then), or another worker leads."""
        while self._jobs and self._leader in (worker, None) and not worker.scope.cancel_called:
            self._leader = worker
            job = self._jobs.pop(0)
            if not job.cancelled:
                job.scope = worker.scope
                waits = partial(self._hand_over, worker)
                await self._end(job, worker, _steps(job.run(), self._context.copy(), waits))
        if self._leader is worker:
            self._leader = None
            if self._jobs:
                self._wake()

    async def _end(self, job: Job, worker: _Worker, steps: Awaitable[None]) -> None:
        try:
            await steps
        except anyio.get_cancelled_exc_class():
            # A job may raise this without anybody having cancelled it; that is its own affair.
            if worker.scope.cancel_called or anyio.current_effective_deadline() == -math.inf:
                raise
        except BaseException as error:
            reraise_control_flow(error)
            report("a job", error)
        finally:
            job.scope = None
        await clear_stray_cancellation()

    def _hand_over(self, worker: _Worker) -> None:
        """The job that this worker runs waits for something: somebody else leads, if there is anything to do."""
        if self._leader is worker:
            self._leader = None
            if self._jobs:
                self._wake()


def _nothing() -> None:
    pass


def _asyncio_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


@types.coroutine
def _steps(
    coroutine: Coroutine[Any, Any, None],
    context: Context,
    waits: Callable[[], None],
    *,
    first: bool = True,
    waited: Any = None,
    error: BaseException | None = None,
) -> Generator[Any, Any, None]:
    """Await a coroutine in a context of its own, and say when it first waits. It stays in the task that awaits this.

    One that has made its first step already goes on from what it waits for, or with the cancellation that came since.
    """
    step: Callable[[Any], Any] = coroutine.send
    value: Any = None
    if error is not None and not (waited is not None and waited.cancel()):
        step, value, first = coroutine.throw, error, False
    elif not first:
        try:
            value = yield waited
        except BaseException as raised:
            step, value = coroutine.throw, raised
    while True:
        try:
            waited = context.run(step, value)
        except StopIteration:
            return
        if first:
            first = False
            waits()
        try:
            step, value = coroutine.send, (yield waited)
        except BaseException as raised:
            step, value = coroutine.throw, raised
