"""Sessions can be started from a route that a plugin adds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from types import ModuleType
from typing import Any, TypeAlias

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rtvi_plugins.hookspecs import hookimpl
from rtvi_plugins.hosting import Host
from rtvi_plugins_server.starting import PRIVATE, base_url, read_body, read_object, start_session

pytestmark = pytest.mark.anyio

Serving: TypeAlias = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]
SECRET = {"x-rtvi-operator-secret": "secret-of-a-test"}


def routes(host: Host) -> Sequence[Route]:
    """Return the routes of a plugin's own transport."""

    async def offer(request: Request) -> Response:
        started = await start_session(request, host, body_bytes=100)
        return JSONResponse({"token": started.token, "session": started.session_id}, headers=PRIVATE)

    async def where(request: Request) -> Response:
        return JSONResponse([base_url(request), base_url(request, "https://other.example/x/")])

    async def size(request: Request) -> Response:
        return JSONResponse(len(await read_body(request)))

    async def keys(request: Request) -> Response:
        return JSONResponse(sorted(await read_object(request) or ["nothing"]))

    made = {"/offer": offer, "/where": where, "/size": size, "/keys": keys}
    return [Route(path, route, methods=["POST"]) for path, route in made.items()]


@pytest.fixture
def make_routed(make_host: Callable[..., Host]) -> Callable[..., Host]:
    """Return a function that makes a host whose plugin adds these routes."""
    module = ModuleType("a_transport")

    @hookimpl
    def server_routes(host: Host) -> Sequence[Route]:
        return routes(host)

    vars(module)["server_routes"] = server_routes

    def make(name: str = "desk") -> Host:
        return make_host(name, modules=[module])

    return make


async def test_a_plugins_route_starts_a_session(make_routed: Callable[..., Host], serving: Serving) -> None:
    """It is like a session of /start: a client can connect with the token once."""
    host = make_routed()
    async with serving(host) as client:
        answer = await client.post("/offer", json={"config": []})
        body = answer.json()
        assert host.claim(body["token"]).id == body["session"]
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("bot", "body", "status", "code"),
    [
        ("desk", "{", 400, "invalid-start"),
        ("desk", "[]", 400, "invalid-start"),
        ("desk", '{"services": {"llm": "acme"}}', 400, "unknown-service"),
        ("desk", " " * 101, 413, "message-too-large"),
        ("office", "{}", 401, "unauthorized"),
    ],
)
async def test_a_start_is_refused_as_everywhere(
    make_routed: Callable[..., Host], serving: Serving, bot: str, body: str, status: int, code: str
) -> None:
    """A route need not catch anything: the app answers in the form that clients read."""
    host = make_routed(bot)
    async with serving(host) as client:
        answer = await client.post("/offer", content=body)
        assert (answer.status_code, answer.json()["error"]) == (status, code)
        assert host.open_sessions == 0


async def test_the_operators_secret_is_passed_on(make_routed: Callable[..., Host], serving: Serving) -> None:
    """The header allows the start of a bot that is not public."""
    async with serving(make_routed("office")) as client:
        assert (await client.post("/offer", headers=SECRET)).status_code == 200


@pytest.mark.parametrize(
    ("public_url", "expected"),
    [(None, "http://127.0.0.1:7860"), ("https://bots.example/hotel/", "https://bots.example/hotel")],
)
async def test_a_plugins_route_knows_the_servers_address(
    make_routed: Callable[..., Host], serving: Serving, public_url: str | None, expected: str
) -> None:
    """It is the app's public URL, the one that the route names, or that of the request."""
    async with serving(make_routed(), public_url=public_url) as client:
        addresses: list[Any] = (await client.post("/where", headers={"x-forwarded-proto": "https"})).json()
        assert addresses == [expected, "https://other.example/x"]


async def test_a_body_is_read_whole(make_routed: Callable[..., Host], serving: Serving) -> None:
    """By default, the limit is one mebibyte."""
    async with serving(make_routed()) as client:
        assert (await client.post("/size", content=b"x" * 1_048_576)).json() == 1_048_576
        assert (await client.post("/size", content=b"x" * 1_048_577)).status_code == 413


@pytest.mark.parametrize(("body", "expected"), [("", ["nothing"]), (' {"b": 1, "a": 2}\n', ["a", "b"])])
async def test_a_body_may_be_an_object_or_nothing(
    make_routed: Callable[..., Host], serving: Serving, body: str, expected: list[str]
) -> None:
    """Clients that have nothing to say send nothing."""
    async with serving(make_routed()) as client:
        assert (await client.post("/keys", content=body)).json() == expected
