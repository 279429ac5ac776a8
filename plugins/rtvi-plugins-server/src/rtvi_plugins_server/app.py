"""The ASGI app of one bot: starting a session over HTTP, holding it over a WebSocket."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

from attrs import frozen
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

# NumPy is loaded with it, and that must not be when somebody speaks.
import rtvi_plugins.voice.resampling  # noqa: F401  # pyright: ignore[reportUnusedImport]
from rtvi_plugins.hosting import Host, Started

from ._door import proxies_of
from ._gate import Gate
from ._origins import HostList, OriginList, host_of, origin_of
from ._page import Page
from ._refusal import unrouted
from ._single_turn import run_actions
from ._socket import SessionSocket
from .starting import BODY_BYTES, PRIVATE, base_url, start_session

__all__ = ("create_app",)

_OFFERED: Final = {
    "/connect": "POST /connect",
    "/start": "POST /start",
    "/action": "POST /action",
    "/health": "GET /health",
    "/ws": "the WebSocket /ws",
}


def create_app(
    host: Host,
    *,
    origins: Iterable[str] = (),
    allowed_hosts: Iterable[str] | None = None,
    public_url: str | None = None,
    body_bytes: int = BODY_BYTES,
    page: bool = True,
    proxies: Iterable[str] = (),
) -> Starlette:
    """The app that serves `host`. Its lifespan opens and closes the host, so run it with lifespan on.

    `origins` lists the web pages that may use it, as in `"https://app.example"`; `"*"` lets all in. Clients that are
    not browsers send no origin and are not concerned. `allowed_hosts` lists the names that the server answers to
    besides localhost and addresses; without it, names are looked at in development mode only. `public_url` is the
    address that clients know when a proxy stands in front, as in `"https://bots.example/hotel"`: the WebSocket's
    address is made from it. `body_bytes` bounds the body of a start. `page` is whether a browser finds a page at `/`,
    on which to talk to the bot. `proxies` lists the addresses or networks of the proxies in front, whose
    `X-Forwarded-For` says which client asks; without it, `public_url` means that clients cannot be told apart.
    `ValueError` for an origin, a URL or an address that is none.
    """
    public_origin = [] if public_url is None else [origin_of(public_url)]
    if allowed_hosts is None and host.dev:
        allowed_hosts = ()
    names = None if allowed_hosts is None else [*allowed_hosts, *filter(None, map(_name, public_origin))]
    door, added = _Door(host, body_bytes), host.routes
    app = Starlette(
        routes=[
            Route("/connect", door.connect, methods=["POST"]),
            Route("/start", door.start, methods=["POST"]),
            Route("/action", door.action, methods=["POST"]),
            Route("/health", door.health, methods=["GET"]),
            WebSocketRoute("/ws", SessionSocket(host)),
            *added,
            *(Page(host, added).routes if page else ()),
        ],
        middleware=[
            Middleware(Gate, origins=OriginList([*_listed(origins), *public_origin]), hosts=HostList(names)),
        ],
        exception_handlers={HTTPException: _unrouted},
        lifespan=_lifespan(host),
    )
    app.state.proxies = proxies_of(proxies, public_url)  # for `client_address`
    app.state.public_url = public_url  # for `base_url`, also in the routes of plugins
    # A redirect to the path without the slash would go to the name that a proxy gave us, not to the public one.
    app.router.redirect_slashes = False
    return app


def _listed(origins: Iterable[str]) -> list[str]:
    return [origins] if isinstance(origins, str) else list(origins)


def _name(origin: str) -> str | None:
    return host_of(origin.partition("://")[2])


def _lifespan(host: Host) -> Any:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        async with host:
            yield

    return lifespan


async def _unrouted(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return unrouted(error, request.scope, _OFFERED)


@frozen
class _Door:
    """The HTTP endpoints."""

    host: Host
    body_bytes: int

    async def connect(self, request: Request) -> Response:
        """Start a session for a 0.x client: the answer is what its WebSocket transport takes."""
        started = await self._started(request)
        # A token is of characters that need no quoting in a URL.
        return JSONResponse({"ws_url": f"{self._ws_url(request)}?token={started.token}"}, headers=PRIVATE)

    async def start(self, request: Request) -> Response:
        """Start a session for a 1.x client, whose WebSocket transport refuses any key besides these two."""
        started = await self._started(request)
        return JSONResponse({"wsUrl": self._ws_url(request), "token": started.token}, headers=PRIVATE)

    async def action(self, request: Request) -> Response:
        """Run actions of a 0.x client that is not connected."""
        return await run_actions(request, self.host, body_bytes=self.body_bytes)

    async def health(self, request: Request) -> Response:
        """Whether new sessions are taken, for load balancers: 503 says that the server is draining."""
        draining = self.host.draining
        body = {"status": "draining" if draining else "ok", "open_sessions": self.host.open_sessions}
        return JSONResponse(body, 503 if draining else 200, headers=PRIVATE)

    async def _started(self, request: Request) -> Started:
        return await start_session(request, self.host, body_bytes=self.body_bytes)

    def _ws_url(self, request: Request) -> str:
        return f"ws{base_url(request).removeprefix('http')}/ws"
