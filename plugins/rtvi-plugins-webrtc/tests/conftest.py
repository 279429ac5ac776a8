"""What every test of this distribution may use: an app in this process, its clients, and a check for leftovers."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import httpx2
import pytest

sys.path.append(str(Path(__file__).parent))  # for rtc_caller and rtc_bots

from rtc_bots import ENDED, desk
from rtc_caller import Caller

from rtvi_plugins.hosting import Host
from rtvi_plugins_server import create_app
from rtvi_plugins_webrtc import routes
from rtvi_plugins_webrtc._session import Timeouts

Calling: TypeAlias = Callable[..., AbstractAsyncContextManager[Caller]]


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio, which aiortc needs."""
    return "asyncio"


@pytest.fixture(autouse=True)
def nothing_left(caplog: pytest.LogCaptureFixture) -> Generator[None]:
    """Check that no decoder's thread stays after a test, and that only the framework logs warnings."""
    before = set(threading.enumerate())
    yield
    gc.collect()  # tasks that failed unseen tell of it when they are collected
    left = [each.name for each in set(threading.enumerate()) - before if each.name.endswith("-decoder")]
    assert not left, f"threads are left: {left}"
    records = [record for when in ("setup", "call", "teardown") for record in caplog.get_records(when)]
    foreign = [each for each in records if each.levelno >= logging.WARNING and not each.name.startswith("rtvi_plugins")]
    assert not foreign, [each.getMessage() for each in foreign]


@pytest.fixture
def host() -> Host:
    """Return the host of the bot that hums."""
    return Host(desk, environ={})


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a server that does not wait for its sessions."""
    haste = Timeouts(connect=0.3, restart=0.3, quiet=0.3, goodbye=0.3, check=0.05)
    monkeypatch.setattr(routes, "Timeouts", lambda: haste)


@pytest.fixture
def calling() -> Calling:
    """Serve a host, in this process, to a client that has started a session. Afterwards, nothing of it may run."""

    @asynccontextmanager
    async def call(host: Host, **options: object) -> AsyncGenerator[Caller]:
        before = asyncio.all_tasks()
        transport = httpx2.ASGITransport(create_app(host))
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as http:
            caller = Caller(http, **options)  # type: ignore[arg-type]
            ENDED.append(caller.tell_end)
            try:
                async with host:
                    await caller.start()
                    yield caller
            finally:
                ENDED.remove(caller.tell_end)
                await caller.close()
        left = {each for each in asyncio.all_tasks() - before if not each.done()}
        assert not left, left

    return call
