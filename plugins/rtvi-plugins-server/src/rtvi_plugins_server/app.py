"""The ASGI app of one bot: starting a session over HTTP, holding it over a WebSocket."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final, cast

import orjson
from attrs import frozen
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from rtvi_plugins.errors import InvalidStart, MessageTooLarge, Problem
from rtvi_plugins.hosting import Host, Started

from ._gate import SECRET_HEADER, Gate
from ._origins import HostList, OriginList, host_of, origin_of
from ._refusal import unrouted
from ._socket import SessionSocket

__all__ = ("create_app",)

_OFFERED: Final = {
    "/connect": "POST /connect",
    "/start": "POST /start",
    "/health": "GET /health",
    "/ws": "the WebSocket /ws",
}
# What a start answers opens a session, so nobody may keep it.
_PRIVATE: Final = {"cache-control": "no-store"}
# A body that is too long is still read to this multiple of its bound: a client that is cut off while it sends is shown
# a broken connection, not the reason.
_PATIENCE: Final = 16


def create_app(
    host: Host,
    *,
    origins: Iterable[str] = (),
    allowed_hosts: Iterable[str] | None = None,
    public_url: str | None = None,
    body_bytes: int = 1_048_576,
) -> Starlette:
    """The app that serves `host`. Its lifespan opens and closes the host, so run it with lifespan on.

    `origins` lists the web pages that may use it, as in `"https://app.example"`; `"*"` lets all in. Clients that are
    not browsers send no origin and are not concerned. `allowed_hosts` lists the names that the server answers to
    besides localhost and addresses; without it, names are looked at in development mode only. `public_url` is the
    address that clients know when a proxy stands in front, as in `"https://bots.example/hotel"`: the WebSocket's
    address is made from it. `body_bytes` bounds the body of a start. `ValueError` for an origin or a URL that is none.
    """
    public_origin = [] if public_url is None else [origin_of(public_url)]
    if allowed_hosts is None and host.dev:
        allowed_hosts = ()
    names = None if allowed_hosts is None else [*allowed_hosts, *filter(None, map(_name, public_origin))]
    door = _Door(host, None if public_url is None else public_url.rstrip("/"), body_bytes)
    app = Starlette(
        routes=[
            Route("/connect", door.connect, methods=["POST"]),
            Route("/start", door.start, methods=["POST"]),
            Route("/health", door.health, methods=["GET"]),
            WebSocketRoute("/ws", SessionSocket(host)),
            *host.routes,
        ],
        middleware=[
            Middleware(Gate, origins=OriginList([*_listed(origins), *public_origin]), hosts=HostList(names)),
        ],
        exception_handlers={HTTPException: _unrouted},
        lifespan=_lifespan(host),
    )
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
    public_url: str | None
    body_bytes: int

    async def connect(self, request: Request) -> Response:
        """Start a session for a 0.x client: the answer is what its WebSocket transport takes."""
        started = await self._started(request)
        # A token is of characters that need no quoting in a URL.
        return JSONResponse({"ws_url": f"{self._ws_url(request)}?token={started.token}"}, headers=_PRIVATE)

    async def start(self, request: Request) -> Response:
        """Start a session for a 1.x client, whose WebSocket transport refuses any key besides these two."""
        started = await self._started(request)
        return JSONResponse({"wsUrl": self._ws_url(request), "token": started.token}, headers=_PRIVATE)

    async def health(self, request: Request) -> Response:
        """Whether new sessions are taken, for load balancers: 503 says that the server is draining."""
        draining = self.host.draining
        body = {"status": "draining" if draining else "ok", "open_sessions": self.host.open_sessions}
        return JSONResponse(body, 503 if draining else 200, headers=_PRIVATE)

    async def _started(self, request: Request) -> Started:
        body = _decode(await self._read(request))
        return await self.host.start(body, secret=request.headers.get(SECRET_HEADER))

    async def _read(self, request: Request) -> bytes:
        body, size = bytearray(), 0
        async with aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                size += len(chunk)
                if size <= self.body_bytes:
                    body += chunk
                elif size > _PATIENCE * self.body_bytes:
                    break
        if size > self.body_bytes:
            raise MessageTooLarge(f"The body is too long; at most {self.body_bytes} bytes are accepted.")
        return bytes(body)

    def _ws_url(self, request: Request) -> str:
        # X-Forwarded-Proto is not asked: anybody can send it, and who has a proxy can say the public URL.
        base = self.public_url or str(request.base_url).rstrip("/")
        return f"ws{base.removeprefix('http')}/ws"


def _decode(body: bytes) -> dict[str, Any] | None:
    """The object in a start's body; None when there is no body, which clients send when they have nothing to say."""
    if not body.strip():
        return None
    try:
        found: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        problem = Problem("$", f"the body is not JSON: {error.msg} (line {error.lineno}, column {error.colno}).")
        raise InvalidStart([problem]) from None
    if not isinstance(found, dict):
        raise InvalidStart([Problem("$", 'the body must be a JSON object, as in {"config": []}.')])
    return cast("dict[str, Any]", found)
