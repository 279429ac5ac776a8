"""Many short jobs on few tasks: they start in order, wait concurrently, and a cancelled job affects no other."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from functools import partial
from typing import TypeAlias

import anyio
import anyio.lowlevel
import pytest

from rtvi_plugins.runtime.worker_tasks import Work, Workers

from ..fakes.wire import settle
from ..tools.loops import EVERY_LOOP

pytestmark = [pytest.mark.anyio, EVERY_LOOP]

Pool: TypeAlias = Callable[[], AbstractAsyncContextManager[Workers]]


@asynccontextmanager
async def opened(*, warm: bool) -> AsyncGenerator[Workers]:
    """Workers. At the end, their jobs are cancelled."""
    async with anyio.create_task_group() as tasks:
        pool = Workers(tasks)
        if warm:
            pool.submit(nothing)
            await settle()
        yield pool
        tasks.cancel_scope.cancel()


async def nothing() -> None:
    """A job that ends at once."""


@pytest.fixture(params=[False, True], ids=["new", "parked"])
def workers(request: pytest.FixtureRequest) -> Pool:
    """Return workers: without any task yet, or with a parked task, in whose name a job starts at once."""
    return partial(opened, warm=request.param)


async def test_jobs_start_in_order_whatever_they_do(workers: Pool) -> None:
    """Jobs that end at once, jobs that wait once, and jobs that wait for ever."""
    seen: list[int] = []

    async def run(number: int) -> None:
        seen.append(number)
        if number % 3 == 1:
            await anyio.lowlevel.checkpoint()
        elif number % 3 == 2:
            await anyio.sleep_forever()

    async with workers() as pool:
        for number in range(60):
            pool.submit(lambda number=number: run(number))  # type: ignore[misc]
        await settle()
        assert seen == list(range(60))


async def test_a_job_may_submit_others(workers: Pool) -> None:
    """The new jobs start after those that were submitted before."""
    seen: list[str] = []
    submitted: list[str] = []

    async with workers() as pool:

        def submit(name: str, then: str = "") -> None:
            async def run() -> None:
                seen.append(name)
                if then:
                    submit(then)
                await anyio.lowlevel.checkpoint()

            submitted.append(name)
            pool.submit(run)

        submit("first", then="of the first")
        submit("second", then="of the second")
        await settle()
    assert seen == submitted
    assert len(seen) == 4


async def test_a_job_that_waits_delays_no_other(workers: Pool) -> None:
    """Also if all jobs wait at once. Each one continues when the test lets it."""
    gates = [anyio.Event() for _ in range(30)]
    done: list[int] = []

    async def run(number: int) -> None:
        await gates[number].wait()
        done.append(number)

    async with workers() as pool:
        for number in range(30):
            pool.submit(lambda number=number: run(number))  # type: ignore[misc]
        await settle()
        for number in reversed(range(30)):
            gates[number].set()
            await settle()
        assert done == list(reversed(range(30)))


async def test_a_cancelled_job_ends_and_the_next_runs(workers: Pool) -> None:
    """It runs on the same task. The cancellation has no further effect there."""
    seen: list[str] = []

    async def hang() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            seen.append("cancelled")

    async def wait() -> None:
        await anyio.lowlevel.checkpoint()
        seen.append("done")

    async with workers() as pool:
        for _ in range(3):
            job = pool.submit(hang)
            await settle()
            job.cancel()
            pool.submit(wait)
            await settle()
        assert seen == ["cancelled", "done"] * 3


async def test_a_job_that_is_cancelled_before_it_starts_never_does(workers: Pool) -> None:
    """The jobs after it do start."""
    seen: list[str] = []

    async def run(name: str) -> None:
        seen.append(name)

    async with workers() as pool:

        async def first() -> None:
            pool.submit(lambda: run("never")).cancel()
            pool.submit(lambda: run("last"))

        pool.submit(first)
        await settle()
        assert seen == ["last"]


async def test_cancelling_a_job_twice_or_after_its_end_harms_no_other(workers: Pool) -> None:
    """The next job of the same worker is not cancelled."""
    seen: list[str] = []

    async def run(name: str) -> None:
        await anyio.lowlevel.checkpoint()
        seen.append(name)

    async with workers() as pool:
        first = pool.submit(lambda: run("first"))
        await settle()
        second = pool.submit(lambda: run("second"))
        first.cancel()
        await settle()
        second.cancel()
        second.cancel()
        pool.submit(lambda: run("third"))
        await settle()
        assert seen == ["first", "second", "third"]


async def test_a_job_that_will_not_be_cancelled_may_finish(workers: Pool) -> None:
    """Its worker takes no other job, because its cancel scope was used."""
    seen: list[str] = []

    async def cling() -> None:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            seen.append("clings")

    async def wait() -> None:
        await anyio.lowlevel.checkpoint()
        seen.append("done")

    async with workers() as pool:
        job = pool.submit(cling)
        await settle()
        job.cancel()
        await settle()
        pool.submit(wait)
        await settle()
        assert seen == ["clings", "done"]


async def test_a_job_that_raises_harms_no_other(workers: Pool, caplog: pytest.LogCaptureFixture) -> None:
    """The log has the name of its exception, but not the text."""
    seen: list[str] = []

    async def fail() -> None:
        raise RuntimeError("words of an exception")

    async def run() -> None:
        seen.append("done")

    caplog.set_level("INFO")
    async with workers() as pool:
        pool.submit(fail)
        pool.submit(run)
        await settle()
        assert seen == ["done"]
    assert "RuntimeError" in caplog.text
    assert "words of an exception" not in caplog.text


async def test_cancel_scopes_and_timeouts_work_inside_a_job(workers: Pool) -> None:
    """A job runs in one task from its beginning to its end."""
    tasks: list[int] = []
    timed_out: list[bool] = []

    async def run() -> None:
        tasks.append(anyio.get_current_task().id)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anyio.lowlevel.checkpoint()
        with anyio.move_on_after(0) as limited:
            await anyio.sleep_forever()
        timed_out.append(limited.cancelled_caught)
        tasks.append(anyio.get_current_task().id)

    async with workers() as pool:
        for _ in range(5):
            pool.submit(run)
        await settle()
        assert timed_out == [True] * 5
        assert sorted(tasks)[::2] == sorted(tasks)[1::2]


async def test_a_job_may_hold_a_task_group(workers: Pool) -> None:
    """The task that entered it also leaves it."""
    seen: list[str] = []

    async def note(name: str) -> None:
        await anyio.lowlevel.checkpoint()
        seen.append(name)

    async def run() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(note, "child")
        seen.append("parent")

    async with workers() as pool:
        pool.submit(run)
        await settle()
        assert seen == ["child", "parent"]


async def test_the_end_cancels_every_job(workers: Pool) -> None:
    """No job is left, and jobs that had not started do not start."""
    ended: list[str] = []

    async def hang() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("cancelled")

    async with workers() as pool:
        for _ in range(10):
            pool.submit(hang)
        await settle()
    assert ended == ["cancelled"] * 10


async def test_many_short_jobs_share_few_tasks(workers: Pool) -> None:
    """This module exists to avoid one task for each job."""
    tasks: set[int] = set()

    async def run() -> None:
        tasks.add(anyio.get_current_task().id)

    async with workers() as pool:
        for _ in range(200):
            pool.submit(run)
            await settle()
        assert len(tasks) <= 2


async def test_asyncios_own_timeout_works_inside_a_job(workers: Pool, anyio_backend_name: str) -> None:
    """A provider that is written for asyncio may use it."""
    if anyio_backend_name == "trio":
        return
    timed_out: list[str] = []

    async def run() -> None:
        try:
            async with asyncio.timeout(0):
                await asyncio.sleep(60)
        except TimeoutError:
            timed_out.append("timeout")
        await asyncio.sleep(0)
        timed_out.append("done")

    async with workers() as pool:
        for _ in range(3):
            pool.submit(run)
        await settle()
        assert sorted(timed_out) == ["done"] * 3 + ["timeout"] * 3


_mark: ContextVar[int] = ContextVar("mark", default=0)


async def test_a_context_variable_is_the_jobs_own(workers: Pool) -> None:
    """If a job sets a variable, neither other jobs nor the caller see the value. The job may wait or not."""
    seen: list[int] = []

    async def set_it(waits: bool) -> None:
        token = _mark.set(5)
        if waits:
            await anyio.lowlevel.checkpoint()
        seen.append(_mark.get())
        _mark.reset(token) if waits else None

    async def look() -> None:
        seen.append(_mark.get())

    async with workers() as pool:
        for waits in (True, False):
            pool.submit(partial(set_it, waits))
            assert _mark.get() == 0
            pool.submit(look)
        await settle()
    assert sorted(seen) == [0, 0, 5, 5]


async def test_a_job_stays_in_one_task(workers: Pool) -> None:
    """This is true from its first step to its last. It is not the task that submitted the job."""
    seen: list[int] = []

    async def run() -> None:
        seen.append(anyio.get_current_task().id)
        await anyio.lowlevel.checkpoint()
        seen.append(anyio.get_current_task().id)

    me = anyio.get_current_task().id
    async with workers() as pool:
        pool.submit(run)
        assert anyio.get_current_task().id == me
        await settle()
    assert len(set(seen)) == 1
    assert me not in seen


@pytest.mark.parametrize("steps", range(5))
async def test_a_job_is_unwound_whenever_the_end_comes(workers: Pool, steps: int) -> None:
    """Its `finally` blocks run, even if it is cancelled right after its first step."""
    seen: list[str] = []

    async def run() -> None:
        seen.append("begun")
        try:
            await anyio.sleep_forever()
        finally:
            seen.append("finished")

    async with workers() as pool:
        pool.submit(run)
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()
    assert seen in ([], ["begun", "finished"])


async def test_no_job_is_hit_by_what_was_meant_for_another(workers: Pool) -> None:
    """Ends and cancellations may happen in the same step of the event loop, or between two."""
    for seed in range(40):
        await cancel_at_random(workers, seed)


async def cancel_at_random(workers: Pool, seed: int) -> None:
    """Submit jobs and cancel some of them, in an order that the seed decides."""
    chance, hit, unfinished = random.Random(seed), list[int](), set[int]()
    meant: set[int] = set()
    over = False

    async def run(number: int, steps: int, let: anyio.Event) -> None:
        try:
            for _ in range(steps):
                await anyio.lowlevel.checkpoint()
            if steps % 2:
                await let.wait()
            unfinished.discard(number)
        except anyio.get_cancelled_exc_class():
            if number not in meant and not over:
                hit.append(number)
            raise

    async with workers() as pool:
        jobs: list[tuple[int, Work, anyio.Event]] = []
        for number in range(60):
            let = anyio.Event()
            unfinished.add(number)
            job = pool.submit(partial(run, number, chance.randrange(4), let), later=chance.random() < 0.3)
            jobs.append((number, job, let))
            for other, found, event in chance.sample(jobs, min(2, len(jobs))):
                if chance.random() < 0.5:
                    event.set()
                if chance.random() < 0.4 and found.scope is not None:
                    meant.add(other)
                    found.cancel()
            for _ in range(chance.randrange(3)):
                await anyio.lowlevel.checkpoint()
        for _, _, event in jobs:
            event.set()
        await settle()
        over = True
    assert hit == [], f"with the seed {seed}"
    assert unfinished <= meant, f"with the seed {seed}"
