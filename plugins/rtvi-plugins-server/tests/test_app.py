"""Starting sessions over HTTP, and what a client reads when a start is refused."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from types import ModuleType
from typing import Any, TypeAlias

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from rtvi_plugins.hookspecs import hookimpl
from rtvi_plugins.hosting import Host, Limits
from rtvi_plugins_server import create_app

pytestmark = pytest.mark.anyio

Serving: TypeAlias = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]
SECRET = {"x-rtvi-operator-secret": "secret-of-a-test"}


# ---- starts that succeed ---------------------------------------------------------------------------------------


async def test_connect_answers_the_address_with_its_token(host: Host, serving: Serving) -> None:
    """A 0.x client gets one URL, under the key that its transport reads."""
    async with serving(host) as client:
        body = (await client.post("/connect", json={"config": []})).json()
        assert list(body) == ["ws_url"]
        address, _, token = body["ws_url"].partition("?token=")
        assert address == "ws://127.0.0.1:7860/ws"
        assert host.claim(token)


async def test_start_answers_nothing_but_address_and_token(host: Host, serving: Serving) -> None:
    """A 1.x client's transport refuses any other key."""
    async with serving(host) as client:
        body = (await client.post("/start", json={"config": []})).json()
        assert body == {"wsUrl": "ws://127.0.0.1:7860/ws", "token": body["token"]}
        assert host.claim(body["token"])


async def test_a_start_needs_no_body(host: Host, serving: Serving) -> None:
    """A 1.x client without data sends no body."""
    async with serving(host) as client:
        assert (await client.post("/start")).status_code == 200


async def test_nobody_may_keep_a_token(host: Host, serving: Serving) -> None:
    """The answer to a start has headers against caching."""
    async with serving(host) as client:
        assert (await client.post("/start")).headers["cache-control"] == "no-store"


async def test_the_operators_secret_opens_a_bot_that_is_not_public(
    make_host: Callable[..., Host], serving: Serving
) -> None:
    """The header reaches the host."""
    async with serving(make_host("office")) as client:
        assert (await client.post("/start", headers=SECRET)).status_code == 200


@pytest.mark.parametrize(
    ("base_url", "public_url", "expected"),
    [
        ("http://bots.example:81", None, "ws://bots.example:81/ws"),
        ("https://bots.example", None, "wss://bots.example/ws"),
        ("http://10.0.0.3:7860", "https://bots.example/hotel/", "wss://bots.example/hotel/ws"),
        ("https://10.0.0.3", "http://bots.example", "ws://bots.example/ws"),
    ],
)
async def test_the_sockets_address_is_the_one_that_clients_know(
    host: Host, serving: Serving, base_url: str, public_url: str | None, expected: str
) -> None:
    """It is the public URL's, or that of the request; what a stranger may claim in a header is not believed."""
    async with serving(host, base_url, public_url=public_url) as client:
        response = await client.post(
            "/start", headers={"x-forwarded-proto": "https", "x-forwarded-host": "evil.example"}
        )
        assert response.json()["wsUrl"] == expected


# ---- starts that are refused -----------------------------------------------------------------------------------


def assert_readable(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Check what every client reads of a failure, and return it."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json")
    body: dict[str, Any] = response.json()
    assert body["error"] == code
    assert body["info"] == body["detail"] != ""
    assert isinstance(body["retryable"], bool)
    assert isinstance(body["details"], list)
    return body


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/connect", "", 405, "method-not-allowed"),
        ("PUT", "/health", "", 405, "method-not-allowed"),
        ("OPTIONS", "/start", "", 405, "method-not-allowed"),
        ("POST", "/nowhere", "", 404, "not-found"),
        ("POST", "/start/", "", 404, "not-found"),
        ("GET", "/ws", "", 404, "not-found"),
        ("POST", "/start", "{", 400, "invalid-start"),
        ("POST", "/start", "[]", 400, "invalid-start"),
        ("POST", "/start", "1", 400, "invalid-start"),
        ("POST", "/start", '{"config": NaN}', 400, "invalid-start"),
        ("POST", "/start", b'{"config": "\xff"}', 400, "invalid-start"),
        ("POST", "/start", "[" * 5000, 400, "invalid-start"),
        ("POST", "/connect", '{"services": {"llm": "acme"}}', 400, "unknown-service"),
        ("POST", "/start", '{"api_keys": {"acme": "key-of-a-test"}}', 403, "operator-only"),
        ("POST", "/start", " " * 9000, 413, "message-too-large"),
    ],
)
async def test_every_refusal_is_readable(
    host: Host, serving: Serving, method: str, path: str, body: str | bytes, status: int, code: str
) -> None:
    """Without JSON of this form a published client waits for ever or shows `[object Object]`."""
    async with serving(host, body_bytes=8000) as client:
        assert_readable(await client.request(method, path, content=body), status, code)


@pytest.mark.parametrize("headers", [{}, {"x-rtvi-operator-secret": "wrong"}])
async def test_a_start_without_the_right_secret_is_refused(
    make_host: Callable[..., Host], serving: Serving, headers: dict[str, str]
) -> None:
    """A bot that is not public spends its operator's keys for nobody else."""
    async with serving(make_host("office")) as client:
        assert_readable(await client.post("/start", headers=headers), 401, "unauthorized")


async def test_a_wrong_method_is_told_the_right_one(host: Host, serving: Serving) -> None:
    """The error says what to write instead."""
    async with serving(host) as client:
        response = await client.get("/start")
        assert response.headers["allow"] == "POST"
        assert response.json()["info"] == "GET is not accepted here; use POST /start."


# ---- health and draining ---------------------------------------------------------------------------------------


async def test_health_counts_the_open_sessions(host: Host, serving: Serving) -> None:
    """A load balancer reads the status and the load."""
    async with serving(host) as client:
        await client.post("/start")
        response = await client.get("/health")
        assert (response.status_code, response.json()) == (200, {"status": "ok", "open_sessions": 1})


async def test_a_draining_server_says_so(host: Host, serving: Serving) -> None:
    """The status becomes 503, and a new start gets an error that says that another server may accept it."""
    async with serving(host) as client:
        host.drain()
        response = await client.get("/health")
        assert (response.status_code, response.json()["status"]) == (503, "draining")
        assert assert_readable(await client.post("/start"), 503, "draining")["retryable"] is True


async def test_a_server_says_whether_it_is_ready(make_host: Callable[..., Host], serving: Serving) -> None:
    """The answer has the error that a start would get now, and when to try again."""
    host = make_host(limits=Limits(sessions=2))
    async with serving(host) as client:
        await client.post("/start")
        assert (await client.get("/ready")).json() == {"status": "ready", "open_sessions": 1, "load": 0.5}
        await client.post("/start")
        for refused in (await client.get("/ready"), await client.post("/start")):
            assert assert_readable(refused, 503, "server-full")["retryable"] is True
            assert refused.headers["retry-after"] == "10"
        host.drain()
        assert_readable(await client.get("/ready"), 503, "draining")


async def test_the_apps_lifespan_is_the_hosts(host: Host) -> None:
    """On any ASGI server, the app opens its host, and closes every session of it."""
    app = create_app(host)
    async with app.router.lifespan_context(app):
        await host.start()
        assert host.open_sessions == 1
    assert host.open_sessions == 0


# ---- routes of plugins, and mistakes ---------------------------------------------------------------------------


async def hello(request: Request) -> Response:
    """A route that works."""
    return Response("hello")


async def broken(request: Request) -> Response:
    """A route that raises an error whose text must stay secret."""
    raise ValueError("the password is hunter2")


async def halfway(request: Request) -> Response:
    """A route that raises after its answer has begun."""

    async def pieces() -> AsyncGenerator[bytes]:
        yield b"half"
        raise ValueError("the password is hunter2")

    return StreamingResponse(pieces())


@pytest.fixture
def routed(make_host: Callable[..., Host]) -> Host:
    """A host with a plugin that adds routes."""
    module = ModuleType("routes_of_a_plugin")
    routes = [Route("/hello", hello), Route("/broken", broken), Route("/halfway", halfway)]
    routes += [Route("/twice", hello, methods=["GET"]), Route("/twice", hello, methods=["PUT"])]

    @hookimpl
    def server_routes() -> list[Route]:
        return routes

    vars(module)["server_routes"] = server_routes
    return make_host(modules=[module])


async def test_a_plugins_routes_are_served(routed: Host, serving: Serving) -> None:
    """Routes from the hook are served together with the server's own."""
    async with serving(routed) as client:
        assert (await client.get("/hello")).text == "hello"


async def test_a_404_lists_the_routes_of_plugins_too(routed: Host, serving: Serving) -> None:
    """The page's own files are not listed."""
    async with serving(routed) as client:
        assert (await client.get("/nowhere")).json()["info"] == (
            "There is nothing at this path; this server has POST /connect, POST /start, POST /action, POST /describe, "
            "GET /health, GET /ready, GET /hello, GET /broken, GET /halfway, GET or PUT /twice, the WebSocket /ws."
        )
        assert (await client.post("/twice")).json()["info"] == "POST is not accepted here; use GET or PUT /twice."


async def test_an_unexpected_exception_stays_in_the_process(
    routed: Host, serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    """The client reads a sentence without the exception's text, and so does the log below level debug."""
    caplog.set_level(logging.INFO)
    async with serving(routed) as client:
        response = await client.get("/broken")
    assert_readable(response, 500, "internal-error")
    assert "hunter2" not in response.text + caplog.text
    assert "/broken raised ValueError" in caplog.text


async def test_half_an_answer_is_broken_off(routed: Host, serving: Serving) -> None:
    """The server drops the connection, because of an exception without a text."""
    async with serving(routed) as client:
        with pytest.raises(RuntimeError, match="ended too early") as caught:
            await client.get("/halfway")
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("size", [0, -1, float("nan"), float("inf")])
def test_a_size_of_bodies_that_limits_nothing_is_refused(host: Host, size: Any) -> None:
    """Compared with NaN, no body would be too long."""
    with pytest.raises(ValueError, match=rf"^body_bytes= is a number of bytes, as in \d+, not {size}\.$"):
        create_app(host, body_bytes=size)


@pytest.mark.parametrize(
    "options",
    [
        {"origins": ["app.example"]},
        {"origins": ["https://a.example/x"]},
        {"origins": ["https://*.example"]},
        {"public_url": "x"},
        {"public_url": "https://a.example#x"},
        {"proxies": ["proxy.example"]},
    ],
)
def test_what_is_no_origin_is_refused_at_once(host: Host, options: Any) -> None:
    """An entry that could never match is reported to the operator at once, and not found by the first browser."""
    with pytest.raises(ValueError, match="write"):
        create_app(host, **options)
