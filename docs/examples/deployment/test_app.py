"""The application refuses requests without permission, and reports its health to a load balancer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from types import ModuleType

import httpx2
import pytest

pytestmark = pytest.mark.anyio

SECRET = {"x-rtvi-operator-secret": "secret-of-a-test"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import the module again, with a secret in the environment."""
    import importlib
    import sys

    monkeypatch.setenv("RTVI_OPERATOR_SECRET", "secret-of-a-test")
    monkeypatch.delitem(sys.modules, "app", raising=False)
    return importlib.import_module("app")


@pytest.fixture
async def http(server: ModuleType) -> AsyncGenerator[httpx2.AsyncClient]:
    """Return a client of the running application."""
    transport = httpx2.ASGITransport(server.app)
    async with server.host, httpx2.AsyncClient(transport=transport, base_url="https://bots.hotel.example") as client:
        yield client


async def test_a_start_needs_the_secret(http: httpx2.AsyncClient) -> None:
    """The bot is not public."""
    assert (await http.post("/start")).status_code == 401
    started = (await http.post("/start", headers=SECRET)).json()
    assert started["wsUrl"] == "wss://bots.hotel.example/ws"


async def test_a_foreign_page_is_refused(http: httpx2.AsyncClient) -> None:
    """The server checks the origin first."""
    refused = await http.post("/start", headers={**SECRET, "origin": "https://stranger.example"})
    assert (refused.status_code, refused.json()["error"]) == (403, "origin-refused")


async def test_draining_is_reported(http: httpx2.AsyncClient, server: ModuleType) -> None:
    """The health check fails, so a load balancer sends no new clients."""
    assert (await http.get("/health")).status_code == 200
    server.host.drain()
    assert (await http.get("/health")).status_code == 503
    assert (await http.post("/start", headers=SECRET)).json()["error"] == "draining"
