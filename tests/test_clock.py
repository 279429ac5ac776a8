"""Two clocks: the system's clock, and one for tests that only moves when it is advanced."""

from __future__ import annotations

import math
from functools import partial

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins.clock import Deadline
from rtvi_plugins.runtime.system_clock import ManualClock, SystemClock

from .tools.loops import EVERY_LOOP
from .tools.patience import PATIENCE

# ---- the one that stands still -------------------------------------------------------------------------------------


def test_time_stands_still_until_it_is_moved() -> None:
    """When it is moved, it is later by exactly this time."""
    clock = ManualClock()
    before = clock.now()
    assert clock.now() == before
    clock.advance(2.5)
    assert clock.now() == before + 2.5


def test_calls_are_made_when_they_are_due_and_at_their_own_time() -> None:
    """Each call is made once, in order of its time. For equal times, the first one comes first."""
    clock, called = ManualClock(), list[tuple[str, float]]()
    start = clock.now()
    for name, seconds in {"late": 3, "first": 1, "second": 1, "later": 4}.items():
        clock.call_at(start + seconds, partial(note, clock, called, name))
    clock.advance(0.5)
    assert called == []
    clock.advance(2.5)
    assert called == [("first", start + 1), ("second", start + 1), ("late", start + 3)]
    clock.advance(9)
    assert [name for name, _ in called] == ["first", "second", "late", "later"]


def note(clock: ManualClock, called: list[tuple[str, float]], name: str) -> None:
    """Note a call, and its time."""
    called.append((name, clock.now()))


def test_a_call_may_ask_for_another() -> None:
    """If the new call is due on the way, it is made too."""
    clock, called = ManualClock(), list[float]()

    def again() -> None:
        called.append(clock.now())
        clock.call_at(clock.now() + 1, again)

    start = clock.now()
    clock.call_at(start + 1, again)
    clock.advance(3.5)
    assert called == [start + 1, start + 2, start + 3]


def test_a_cancelled_call_is_not_made() -> None:
    """The clock does not wait for it. Cancelling it twice, or afterwards, does nothing."""
    clock, called = ManualClock(), list[str]()
    timer = clock.call_at(clock.now() + 1, lambda: called.append("cancelled"))
    other = clock.call_at(clock.now() + 2, lambda: called.append("made"))
    timer.cancel()
    timer.cancel()
    assert clock.next_due() == other.due
    clock.advance(5)
    other.cancel()
    clock.fire_due()
    assert called == ["made"]
    assert clock.next_due() == float("inf")


def test_a_call_that_is_overdue_is_made_without_turning_time_back() -> None:
    """It is made at the next move, however small."""
    clock, called = ManualClock(), list[float]()
    start = clock.now()
    clock.call_at(start - 5, lambda: called.append(clock.now()))
    clock.advance(0)
    assert called == [start]


@given(dues=st.lists(st.integers(0, 9), max_size=10), steps=st.lists(st.integers(0, 4), max_size=5))
def test_every_call_that_fell_due_is_made_once_and_no_other(dues: list[int], steps: list[int]) -> None:
    """This is true for all moves."""
    clock, called = ManualClock(), list[int]()
    start = clock.now()
    for due in dues:
        clock.call_at(start + due, partial(called.append, due))
    for step in steps:
        clock.advance(step)
    passed = [due for due in dues if steps and due <= sum(steps)]
    assert called == sorted(passed)


# ---- the machine's -------------------------------------------------------------------------------------------------


@pytest.mark.anyio
@EVERY_LOOP
async def test_the_machines_clock_makes_calls_while_it_runs() -> None:
    """This includes a call that is due before the one it waits for."""
    clock, called = SystemClock(), list[str]()
    done = anyio.Event()
    async with clock.running():
        far = clock.call_at(clock.now() + 3_600, lambda: called.append("far"))
        await anyio.wait_all_tasks_blocked()
        clock.call_at(clock.now() + 0.01, lambda: called.append("near"))
        clock.call_at(clock.now() + 0.02, done.set)
        with anyio.fail_after(PATIENCE):
            await done.wait()
    assert called == ["near"]
    assert clock.next_due() == far.due


@pytest.mark.anyio
@EVERY_LOOP
async def test_the_machines_clock_makes_calls_that_were_asked_for_before_it_ran() -> None:
    """Overdue calls are made at once."""
    clock, done = SystemClock(), anyio.Event()
    clock.call_at(clock.now() - 1, done.set)
    async with clock.running():
        with anyio.fail_after(PATIENCE):
            await done.wait()


@pytest.mark.anyio
@EVERY_LOOP
async def test_a_clock_that_is_left_makes_no_more_calls() -> None:
    """The clock's task has ended."""
    clock, called = SystemClock(), list[str]()
    async with clock.running():
        await anyio.wait_all_tasks_blocked()
    clock.call_at(clock.now() - 1, lambda: called.append("late"))
    await anyio.wait_all_tasks_blocked()
    assert called == []


def test_a_deadline_may_be_moved_in_both_directions() -> None:
    """It fires once, at the time that was set last. Moving it to a later time makes no timer."""
    clock, fired = ManualClock(), list[float]()
    begun = clock.now()
    deadline = Deadline(clock, lambda: fired.append(clock.now() - begun))
    deadline.move(begun + 2)
    for second in range(3, 8):
        deadline.move(begun + second)
    assert clock.next_due() == begun + 2
    clock.advance(4)
    assert fired == []
    deadline.no_later_than(begun + 9)
    deadline.no_later_than(begun + 5)
    clock.advance(10)
    assert fired == [5]


def test_a_deadline_that_is_cancelled_does_not_fire_and_may_be_set_again() -> None:
    """The time of the cancellation does not matter."""
    clock, fired = ManualClock(), list[str]()
    deadline = Deadline(clock, lambda: fired.append("fired"))
    deadline.move(clock.now() + 1)
    deadline.cancel()
    deadline.move(math.inf)
    clock.advance(5)
    assert fired == []
    deadline.move(clock.now() + 1)
    clock.advance(1)
    assert fired == ["fired"]
