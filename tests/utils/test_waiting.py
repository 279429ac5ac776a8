"""An event wakes the one task that waits for it, on every backend."""

from __future__ import annotations

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from rtvi_plugins.utils.waiting import OneShotEvent

from ..tools.loops import EVERY_LOOP
from ..tools.patience import PATIENCE

pytestmark = [pytest.mark.anyio, EVERY_LOOP]


async def test_who_waits_is_woken() -> None:
    """The task does not wake before."""
    signal, woken = OneShotEvent(), list[bool]()

    async def wait() -> None:
        await signal.wait()
        woken.append(True)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert woken == []
        signal.set()
    assert woken == [True]


async def test_who_comes_late_passes() -> None:
    """An event stays set, also if it is set again."""
    signal = OneShotEvent()
    assert not signal.is_set()
    signal.set()
    signal.set()
    assert signal.is_set()
    with anyio.fail_after(PATIENCE):
        await signal.wait()


async def test_who_is_cancelled_while_waiting_leaves_it_unset() -> None:
    """Setting the event afterwards raises nothing."""
    signal = OneShotEvent()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(signal.wait)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert not signal.is_set()
    signal.set()


async def test_it_can_be_set_by_what_runs_in_no_task() -> None:
    """Callbacks of an event loop do this."""
    signal = OneShotEvent()

    def from_thread() -> None:
        anyio.from_thread.run_sync(signal.set)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(signal.wait)
        await anyio.to_thread.run_sync(from_thread)
    assert signal.is_set()
