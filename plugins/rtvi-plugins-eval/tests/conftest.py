"""What every test of this distribution may use: a host with the plugin, and a harness that is connected to it."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from httpx2.websockets import ASGIWebSocketTransport

sys.path.append(str(Path(__file__).parent))  # for eval_harness

from eval_harness import Harness, Socket

from rtvi_plugins.hosting import Host, Limits
from rtvi_plugins_server import create_app


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Async tests run on both backends."""
    return str(request.param)


@pytest.fixture
def harness() -> Harness:
    """Serves a bot to the harness, which connects as it always does: without a token, `eval-connect` first."""

    @asynccontextmanager
    async def connect(bot: Any, *, limits: Limits | None = None, **flags: bool) -> AsyncGenerator[Socket]:
        host = Host(bot, plugins=["eval"], dev=True, environ={}, limits=limits)
        transport = ASGIWebSocketTransport(create_app(host))
        async with (
            host,
            httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as client,
            client.websocket("ws://127.0.0.1:7860/ws?skip_tts=true") as socket,
        ):
            harness = Socket(host, socket)
            await harness.ask("eval-connect", {"skip_tts": True, "capture_bot_audio": False, **flags})
            await harness.send("client-ready", {"version": "2.2.0", "about": {"library": "pipecat"}})
            await harness.until("bot-ready")
            yield harness

    return connect
