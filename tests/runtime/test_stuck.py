"""A bot or an action that continues although its session has ended keeps no service open. The log names it."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest

from rtvi_plugins import LLM, Session, action, bot, service
from rtvi_plugins.hosting import Limits

from ..fakes.faulty import FaultyLLM
from ..fakes.wire import connected, settle
from ..tools.patience import PATIENCE

pytestmark = pytest.mark.anyio

#: The services that are open.
open_services: list[str] = []

#: Set when a service is closed.
closed: list[anyio.Event] = []

#: Set to let a stuck function end.
ends: list[anyio.Event] = []


@pytest.fixture(autouse=True)
def fresh() -> None:
    """A new record for each test."""
    open_services.clear()
    closed[:], ends[:] = [anyio.Event()], [anyio.Event()]


@service("llm", "kept")
@asynccontextmanager
async def kept_llm() -> AsyncGenerator[FaultyLLM]:
    """A provider that notes when it is open."""
    open_services.append("kept")
    yield FaultyLLM("kept")
    open_services.remove("kept")
    closed[0].set()


async def go_on() -> None:
    """Ignore cancellations."""
    with anyio.CancelScope(shield=True):
        await ends[0].wait()


@bot(services={"llm": "kept"}, client=["bot:stay", "bot:stay_long"], public=True)
async def patient(session: Session, /, llm: LLM) -> None:
    """A bot whose function returns at once."""


@action(patient)
async def stay(session: Session, /) -> None:
    """An action that ignores its cancellation."""
    await go_on()


@action(patient, long=True)
async def stay_long(session: Session, /) -> None:
    """A long action that ignores its cancellation."""
    await go_on()


@bot(services={"llm": "kept"}, public=True)
async def stubborn(session: Session, /, llm: LLM) -> None:
    """A bot that ignores its cancellation."""
    await go_on()


@pytest.mark.parametrize("name", ["stay", "stay_long", "stubborn"])
async def test_what_does_not_end_keeps_no_service_open(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """The services are closed after `Limits.close_seconds`."""
    limits = Limits(close_seconds=0.01)
    with caplog.at_level(logging.ERROR), anyio.fail_after(PATIENCE):
        async with connected(stubborn if name == "stubborn" else patient, limits=limits) as wire:
            if name != "stubborn":
                wire.call(f"bot:{name}")
            await settle()
            assert open_services == ["kept"]
            wire.connection.disconnected()
            await closed[0].wait()
            ends[0].set()
    (line,) = [each.getMessage() for each in caplog.records if "does not end" in each.getMessage()]
    assert f"{name}() ({sys.modules[__name__].__file__}" in line


async def test_what_ends_in_time_is_not_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The services are closed once."""
    with caplog.at_level(logging.ERROR):
        async with connected(patient, limits=Limits(close_seconds=0.01)) as wire:
            wire.call("bot:stay")
            await settle()
            wire.connection.disconnected()
            ends[0].set()
        assert (open_services, caplog.records) == ([], [])
