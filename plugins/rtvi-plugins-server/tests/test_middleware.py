"""Which pages may send requests, and what a browser may read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import ModuleType
from typing import Any, TypeAlias

import httpx2
import pytest
from httpx2.websockets import WebSocketDisconnect
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from rtvi_plugins.hookspecs import hookimpl
from rtvi_plugins.hosting import Host
from rtvi_plugins_server import create_app

pytestmark = pytest.mark.anyio

Serving: TypeAlias = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]

APP = "https://app.example"
EVIL = "https://evil.example"
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,cache-control,content-type,x-rtvi-operator-secret",
}


async def test_a_listed_page_may_read_the_answer(host: Host, serving: Serving) -> None:
    """The answer has the page's origin, and says that it depends on it."""
    async with serving(host, origins=[APP]) as client:
        response = await client.post("/start", headers={"origin": APP})
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == APP
        assert response.headers["vary"] == "Origin"


@pytest.mark.parametrize(("method", "path"), [("POST", "/nowhere"), ("GET", "/start"), ("POST", "/connect")])
async def test_a_listed_page_may_read_every_refusal(host: Host, serving: Serving, method: str, path: str) -> None:
    """Without the header, a page sees a network error instead of the reason."""
    async with serving(host, origins=[APP]) as client:
        response = await client.request(method, path, headers={"origin": APP}, content="[")
        assert response.status_code >= 400
        assert response.headers["access-control-allow-origin"] == APP


async def test_a_preflight_allows_what_clients_send(host: Host, serving: Serving) -> None:
    """These are the methods and headers of every published client, and the header for the operator's own pages."""
    async with serving(host, origins=[APP]) as client:
        response = await client.options("/start", headers={"origin": APP, **PREFLIGHT})
        allowed = response.headers
        assert (response.status_code, allowed["access-control-allow-origin"]) == (204, APP)
        assert {"GET", "POST", "PATCH"} == set(allowed["access-control-allow-methods"].split(", "))
        assert set(PREFLIGHT["access-control-request-headers"].split(",")) == set(
            allowed["access-control-allow-headers"].split(", ")
        )


@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
@pytest.mark.parametrize("origin", [EVIL, "null", "https://app.example.evil.example", "http://app.example", ""])
async def test_any_other_page_is_refused_before_it_starts_anything(
    host: Host, serving: Serving, method: str, origin: str
) -> None:
    """CORS alone would let a POST of plain text through and only hide its answer."""
    async with serving(host, origins=[APP]) as client:
        response = await client.request(method, "/start", headers={"origin": origin, **PREFLIGHT})
        assert (response.status_code, response.json()["error"]) == (403, "origin-refused")
        assert "access-control-allow-origin" not in response.headers
        assert host.open_sessions == 0


async def test_a_star_lets_every_page_in(host: Host, serving: Serving) -> None:
    """It is for a bot that everyone may use."""
    async with serving(host, origins=["*"]) as client:
        assert (await client.post("/start", headers={"origin": EVIL})).headers["access-control-allow-origin"] == EVIL


@pytest.mark.parametrize(
    ("base_url", "options", "status"),
    [
        ("http://127.0.0.1:7860", {"allowed_hosts": []}, 200),
        ("http://bots.example", {"allowed_hosts": ["bots.example"]}, 200),
        ("http://10.0.0.3", {"public_url": "http://10.0.0.3"}, 200),
        # Names are not looked at, so the page's own name proves nothing.
        ("http://rebound.example:7860", {}, 403),
    ],
)
async def test_the_servers_own_page_may_come_in(
    host: Host, serving: Serving, base_url: str, options: dict[str, Any], status: int
) -> None:
    """A page that this server itself sent names the server as its origin."""
    async with serving(host, base_url, **options) as client:
        assert (await client.post("/start", headers={"origin": base_url})).status_code == status


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("localhost:7860", 200),
        ("127.0.0.1:7860", 200),
        ("[::1]:7860", 200),
        ("Bots.Example", 200),
        ("inside.example:80", 200),
        ("rebound.example:7860", 421),
        ("127.0.0.1.rebound.example", 421),
        ("[", 421),
        ("", 421),
    ],
)
async def test_a_server_answers_to_its_own_names_only(host: Host, serving: Serving, name: str, status: int) -> None:
    """A foreign name that points to this machine is refused. Addresses cannot be pointed elsewhere."""
    async with serving(host, allowed_hosts=["inside.example"], public_url="https://bots.example") as client:
        response = await client.post("/start", headers={"host": name})
        assert (response.status_code, response.json().get("error")) == (
            status,
            "host-refused" if status == 421 else None,
        )


async def test_a_health_check_may_leave_out_the_name(host: Host) -> None:
    """HAProxy sends such checks, in HTTP/1.0. Browsers always send the name."""
    app = create_app(host, allowed_hosts=["inside.example"], public_url="https://bots.example")
    scope = {"type": "http", "method": "GET", "path": "/health", "query_string": b"", "headers": list[Any]()}
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    async with host:
        await app(scope, receive, send)
    assert sent[0]["status"] == 200


async def test_development_mode_looks_at_names_unasked(make_host: Callable[..., Host], serving: Serving) -> None:
    """In this mode, every client may do everything, so only the listed pages may be clients."""
    async with serving(make_host(dev=True), "http://rebound.example:7860") as client:
        assert (await client.post("/start")).status_code == 421


@pytest.mark.parametrize("headers", [{"origin": EVIL}, {"host": "rebound.example"}])
async def test_a_socket_is_checked_like_a_request(host: Host, serving: Serving, headers: dict[str, str]) -> None:
    """CORS does not cover WebSockets. The token is not used, and stays valid for its owner."""
    async with serving(host, origins=[APP], allowed_hosts=[]) as client:
        token = (await client.post("/start")).json()["token"]
        with pytest.raises(WebSocketDisconnect) as caught:
            async with client.websocket(f"ws://127.0.0.1:7860/ws?token={token}", headers=headers):
                raise AssertionError("the handshake succeeded")
        assert caught.value.code == 1008
        async with client.websocket(f"ws://127.0.0.1:7860/ws?token={token}", headers={"origin": APP}):
            assert host.open_sessions == 1


async def broken(request: Request) -> Response:
    """A route that raises."""
    raise ValueError


async def broken_socket(socket: WebSocket) -> None:
    """A WebSocket that raises."""
    raise ValueError


@pytest.fixture
def fragile(make_host: Callable[..., Host]) -> Host:
    """Return a host with a plugin whose routes have a token in their path, and raise."""
    module = ModuleType("routes_of_a_plugin")
    routes: list[BaseRoute] = [
        Route("/sessions/{id}/offer", broken, methods=["POST"]),
        WebSocketRoute("/sockets/{id}", broken_socket),
    ]

    @hookimpl
    def server_routes() -> list[BaseRoute]:
        return routes

    vars(module)["server_routes"] = server_routes
    return make_host(modules=[module])


async def test_a_failure_is_logged_without_the_token_in_its_path(
    fragile: Host, serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    """The operator reads which route failed; who reads the log cannot take a session by it."""
    async with serving(fragile) as client:
        assert (await client.post("/sessions/token-of-a-test/offer")).status_code == 500
        with pytest.raises(WebSocketDisconnect):
            async with client.websocket("ws://127.0.0.1:7860/sockets/token-of-a-test"):
                raise AssertionError("the handshake succeeded")
    logged = [each.getMessage() for each in caplog.records if each.name.startswith("rtvi_plugins")]
    expected = ["/sessions/{id}/offer", "/sockets/{id}"]
    assert logged == [f"the request {path} raised ValueError" for path in expected]


async def test_refusals_are_logged_once_a_minute(
    make_host: Callable[..., Host], serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    """Anybody can send thousands a second; one of each kind shows the operator what to fix."""
    async with serving(make_host(), origins=[APP], allowed_hosts=["bots.example"]) as client:
        for number in range(20):
            assert (await client.post("/start", headers={"origin": f"{EVIL}:{number + 1}"})).status_code == 403
            assert (await client.get("/health", headers={"host": f"evil{number}.example"})).status_code == 421
    logged = [each for each in caplog.messages if each.startswith("refused a request")]
    assert len(logged) == 2
    assert f"{EVIL}:1" in logged[0]
    assert "evil0.example" in logged[1]
