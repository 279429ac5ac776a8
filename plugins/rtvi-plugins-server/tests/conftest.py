"""What every test of this distribution may use: bots, a host for them, and clients of an app in this process."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import httpx2
import pytest
from httpx2.websockets import ASGIWebSocketTransport

from rtvi_plugins.hosting import Host, Limits, ManualClock
from rtvi_plugins.loading import load_bot
from rtvi_plugins.session import Secret
from rtvi_plugins_server import create_app

sys.path.append(str(Path(__file__).parent))  # for live

DESK = Path(__file__).with_name("desk.py")

Serving: TypeAlias = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Async tests run on both backends."""
    return str(request.param)


@pytest.fixture(autouse=True)
def same_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove a bot's folder from `sys.path` after the test. Loading the bot has put it there."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def make_host() -> Callable[..., Host]:
    """Return a function that makes the host of a bot in desk.py."""

    def make(
        name: str = "desk",
        *,
        dev: bool = False,
        modules: list[ModuleType] | None = None,
        clock: ManualClock | None = None,
        limits: Limits | None = None,
    ) -> Host:
        bot, secret = load_bot(f"{DESK}:{name}"), Secret("secret-of-a-test")
        return Host(bot, operator_secret=secret, dev=dev, environ={}, modules=modules or [], clock=clock, limits=limits)

    return make


@pytest.fixture
def host(make_host: Callable[..., Host]) -> Host:
    """Return the host of the bot that anyone may start."""
    return make_host()


@pytest.fixture
def serving() -> Serving:
    """Serve a host to a client in this process. The arguments are those of `create_app`."""

    @asynccontextmanager
    async def serve(
        host: Host, base_url: str = "http://127.0.0.1:7860", **options: Any
    ) -> AsyncGenerator[httpx2.AsyncClient]:
        transport = ASGIWebSocketTransport(create_app(host, **options))
        async with host, httpx2.AsyncClient(transport=transport, base_url=base_url) as client:
            yield client

    return serve


@pytest.fixture
def action() -> Callable[..., str]:
    """Return a function that makes the text of a call of one of the bot's own actions."""

    def make(id: str, name: str, **arguments: Any) -> str:
        listed = [{"name": key, "value": value} for key, value in arguments.items()]
        data = {"service": "bot", "action": name, "arguments": listed}
        return json.dumps({"label": "rtvi-ai", "type": "action", "id": id, "data": data})

    return make
