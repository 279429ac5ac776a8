import anyio
import pytest
from rtvi_plugins import RequestError
from rtvi_plugins.testing import ManualClock, connect

from bot import waiter

pytestmark = pytest.mark.anyio


async def test_it_repeats_the_order() -> None:
    """The echo provider makes the answer predictable."""
    async with connect(waiter) as client:
        assert await client.ask("One funghi") == "One funghi"


async def test_a_kitchen_that_never_answers() -> None:
    """The test moves the clock, so it does not wait."""
    clock = ManualClock()
    async with connect(waiter, clock=clock) as client:

        async def ask() -> None:
            with pytest.raises(RequestError) as failed:
                await client.action("bot:ask_the_kitchen")
            assert failed.value.code == "action-timeout"

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            clock.advance(9)


async def test_a_vendor_that_fails() -> None:
    """The echo provider fails on request."""
    async with connect(waiter, operator={"defaults": {"llm": {"failure": "rate"}}}) as client:
        with pytest.raises(RequestError) as failed:
            await client.ask("One funghi")
        assert failed.value.code == "provider-failed"
