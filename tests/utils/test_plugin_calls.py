"""Calls outside of their own task: which task they see as the current one, and what they leave behind."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from rtvi_plugins.utils.plugin_calls import call_in, call_plugin


def test_a_plugin_sees_a_task_that_is_not_the_callers() -> None:
    """This is true also if the call makes another one. Afterwards, the caller's task is the current one again."""

    async def main() -> None:
        own = asyncio.current_task()
        seen = call_plugin(asyncio.current_task)
        assert seen not in (None, own)
        assert call_plugin(call_plugin, asyncio.current_task) is seen
        assert asyncio.current_task() is own

    asyncio.run(main())


def test_an_exception_leaves_the_caller_as_the_current_task() -> None:
    """The exception is raised to the caller."""

    async def main() -> None:
        own = asyncio.current_task()
        assert own is not None
        other = asyncio.create_task(asyncio.sleep(0))
        with pytest.raises(ZeroDivisionError):
            call_in(other, lambda: 1 // 0)
        assert asyncio.current_task() is own
        await other

    asyncio.run(main())


def test_an_event_loop_that_is_over_is_not_kept() -> None:
    """The stored task refers to its loop."""

    async def main() -> weakref.ref[asyncio.AbstractEventLoop]:
        call_plugin(asyncio.current_task)
        return weakref.ref(asyncio.get_running_loop())

    first, second = asyncio.run(main()), asyncio.run(main())
    gc.collect()
    assert first() is None
    assert first is not second
