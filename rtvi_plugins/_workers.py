"""Run many short jobs concurrently on few tasks.

A task for each job costs more than most jobs do. So a worker takes jobs from the queue one after the other, and as
long as a job ends without waiting for anything, the same worker goes on to the next. The moment a job first waits,
another worker takes over the queue: a parked one, or a new one. Jobs therefore start in order, each of them runs in
one task from its beginning to its end (so that cancel scopes and `asyncio.timeout` work inside it), and none holds up
another by waiting.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, TypeAlias

import anyio
from anyio.abc import TaskGroup
from attrs import define

from ._signal import Signal
from .errors import report

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


class _Worker:
    """A task that leads the queue, waits inside a job, or is parked until it is woken."""

    __slots__ = ("hand_over", "woken")

    def __init__(self, hand_over: Callable[[_Worker], None]) -> None:
        self.hand_over = partial(hand_over, self)
        self.woken = Signal()


class Workers:
    """The workers of one session."""

    __slots__ = ("_jobs", "_leader", "_parked", "_tasks")

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._jobs: list[Job] = []
        self._parked: list[_Worker] = []
        self._leader: _Worker | None = None

    def submit(self, run: Run) -> Job:
        """Have a job run as soon as those before it have started."""
        job = Job(run)
        self._jobs.append(job)
        if self._leader is None:
            self._wake()
        return job

    def _wake(self) -> None:
        """Make a parked worker the leader, or a new one."""
        if self._parked:
            self._leader = self._parked.pop()
            self._leader.woken.set()
        else:
            self._leader = _Worker(self._hand_over)
            self._tasks.start_soon(self._work, self._leader)

    async def _work(self, worker: _Worker) -> None:
        """Stay for as long as there is use for this worker. One scope serves until a job is cancelled by it."""
        stays = True
        while stays:
            with anyio.CancelScope() as scope:
                stays = await self._serve(worker, scope)

    async def _serve(self, worker: _Worker, scope: anyio.CancelScope) -> bool:
        """Take jobs while leading, park in between; False when enough others are parked already."""
        while True:
            await self._drain(worker, scope)
            if scope.cancel_called:
                return True
            if len(self._parked) >= _PARKED:
                return False
            worker.woken = Signal()
            self._parked.append(worker)
            await worker.woken.wait()

    def _leads(self, worker: _Worker) -> bool:
        """Whether this worker is to go on: it leads, or may, and there is something to do."""
        if self._leader in (worker, None):
            self._leader = worker if self._jobs else None
        return self._leader is worker

    async def _drain(self, worker: _Worker, scope: anyio.CancelScope) -> None:
        """Run jobs until one is cancelled, another worker leads, or there are none."""
        while not scope.cancel_called and self._leads(worker):
            job = self._jobs.pop(0)
            if job.cancelled:
                continue
            job.scope = scope
            try:
                await _watched(job.run(), worker.hand_over)
            except anyio.get_cancelled_exc_class():
                # A job may raise this without anybody having cancelled it; that is its own affair.
                if scope.cancel_called or anyio.current_effective_deadline() == -math.inf:
                    raise
            except Exception as error:
                report("a job", error)
            finally:
                job.scope = None

    def _hand_over(self, worker: _Worker) -> None:
        """The job that this worker runs waits for something: somebody else leads, if there is anything to do."""
        if self._leader is worker:
            self._leader = None
            if self._jobs:
                self._wake()


@types.coroutine
def _watched(coroutine: Coroutine[Any, Any, None], waits: Callable[[], None]) -> Generator[Any, Any, None]:
    """Await a coroutine, and say when it first waits. It stays in the task that awaits this."""
    step: Callable[[Any], Any] = coroutine.send
    value: Any = None
    first = True
    while True:
        try:
            waited = step(value)
        except StopIteration:
            return
        if first:
            first = False
            waits()
        try:
            step, value = coroutine.send, (yield waited)
        except BaseException as error:
            step, value = coroutine.throw, error
