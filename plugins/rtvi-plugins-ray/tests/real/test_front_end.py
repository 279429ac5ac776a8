"""A front end by itself: what it does with requests that are too long, and without its store."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from attrs import asdict
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from rtvi_plugins_ray.serving import FrontEnd, Settings
from rtvi_plugins_server.starting import BODY_BYTES

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def anyio_backend() -> str:
    """Ray has no other."""
    return "asyncio"


class Workers:
    """Stands for the handle of the workers, and counts what they get."""

    def __init__(self) -> None:
        self.start, self.sizes = self, list[int]()

    async def remote(self, path: str, body: bytes, headers: Any) -> tuple[int, bytes]:
        """Accept a start."""
        self.sizes.append(len(body))
        return 200, b"{}"


def client(workers: Workers, store: str | None = None) -> httpx2.AsyncClient:
    """A client of a front end."""
    settings = asdict(Settings(store=store), recurse=False)
    front_end: Any = FrontEnd
    made = front_end.func_or_class(workers, {**settings, "limits": asdict(settings["limits"])})

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (await made(Request(scope, receive)))(scope, receive, send)

    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1")


async def test_a_body_that_is_too_long_is_not_kept() -> None:
    """It is refused as `rtvi run` refuses it."""
    workers = Workers()
    async with client(workers) as http:
        refused = await http.post("/start", content=b" " * (BODY_BYTES + 1))
        assert (refused.status_code, refused.json()["error"]) == (413, "message-too-large")
        assert (await http.post("/start", content=b" " * BODY_BYTES)).status_code == 200
    assert workers.sizes == [BODY_BYTES]


@pytest.mark.parametrize("path", ["/start", "/connect", "/webrtc/start", "/describe"])
async def test_a_start_of_any_kind_goes_to_a_worker(path: str) -> None:
    """Also that of WebRTC, whose answer has the address of the worker."""
    workers = Workers()
    async with client(workers) as http:
        assert (await http.post(path, json={})).status_code == 200
    assert len(workers.sizes) == 1


async def test_without_its_store_a_resume_goes_to_any_worker() -> None:
    """That one says what is wrong."""
    workers = Workers()
    async with client(workers, "redis://127.0.0.1:1/0") as http:
        assert (await http.post("/start", json={"resume": "a.b"})).status_code == 200
    assert len(workers.sizes) == 1
