"""The app refuses what an operator wants refused, and tells a load balancer how it is."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from types import ModuleType

import httpx2
import pytest

pytestmark = pytest.mark.anyio

SECRET = {"x-rtvi-operator-secret": "secret-of-a-test"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, imported afresh with a secret in the environment."""
    import importlib
    import sys

    monkeypatch.setenv("RTVI_OPERATOR_SECRET", "secret-of-a-test")
    monkeypatch.delitem(sys.modules, "app", raising=False)
    return importlib.import_module("app")


@pytest.fixture
async def http(server: ModuleType) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client of the app, which has been started."""
    transport = httpx2.ASGITransport(server.app)
    async with server.host, httpx2.AsyncClient(transport=transport, base_url="https://bots.hotel.example") as client:
        yield client


async def test_a_start_needs_the_secret(http: httpx2.AsyncClient) -> None:
    """The bot is not public."""
    assert (await http.post("/start")).status_code == 401
    told = (await http.post("/start", headers=SECRET)).json()
    assert told["wsUrl"] == "wss://bots.hotel.example/ws"


async def test_a_foreign_page_is_refused(http: httpx2.AsyncClient) -> None:
    """Before anything is started."""
    refused = await http.post("/start", headers={**SECRET, "origin": "https://stranger.example"})
    assert (refused.status_code, refused.json()["error"]) == (403, "origin-refused")


async def test_draining_is_told(http: httpx2.AsyncClient, server: ModuleType) -> None:
    """A load balancer sends nobody here any more."""
    assert (await http.get("/health")).status_code == 200
    server.host.drain()
    assert (await http.get("/health")).status_code == 503
    assert (await http.post("/start", headers=SECRET)).json()["error"] == "draining"
