"""`create_app`: the ASGI app of one bot."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from math import inf
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

# It loads NumPy, which must not happen while somebody speaks.
import rtvi_plugins.voice.resampling  # noqa: F401  # pyright: ignore[reportUnusedImport]
from rtvi_plugins.hosting import Host

from ._addresses import trusted_proxies
from ._endpoints import Endpoints
from ._error_responses import no_route_response
from ._middleware import RequestMiddleware
from ._origins import HostList, OriginList, host_of, public_origin_of
from ._page import Page
from ._websocket_endpoint import WebSocketEndpoint
from .starting import BODY_BYTES

__all__ = ("create_app",)


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
    """Return the ASGI app that serves `host`. Run it with lifespan on, which opens and closes the host.

    - `origins`: the web pages that may use the bot, as in `"https://app.example"`; `"*"` allows all. Clients that are
      not browsers send no origin and are always allowed.
    - `allowed_hosts`: the names that the server answers to, besides localhost and addresses. Without it, names are
      checked in development mode only.
    - `public_url`: the address that clients use when a proxy is in front, as in `"https://bots.example/hotel"`. The
      URL of the WebSocket is made from it.
    - `body_bytes`: the longest body of a start.
    - `page`: whether to serve a web page at `/` for talking to the bot.
    - `proxies`: the addresses or networks of the proxies in front, whose `X-Forwarded-For` names the client. With
      `public_url` and without `proxies`, clients cannot be told apart by address.

    Raise `ValueError` for an invalid origin, URL, address or size.

    The app limits what a session may use, but not connections: on a server other than `rtvi run`, limit their number,
    and the size and duration of requests, there or in a proxy.
    """
    if not 1 <= body_bytes < inf:
        raise ValueError(f"body_bytes= is a number of bytes, as in {BODY_BYTES}, not {body_bytes!r}.")
    public_origin = [] if public_url is None else [public_origin_of(public_url)]
    if allowed_hosts is None and host.dev:
        allowed_hosts = ()
    names = None if allowed_hosts is None else [*allowed_hosts, *filter(None, map(_name, public_origin))]
    plugin_routes = host.routes
    routes = [
        *Endpoints(host, body_bytes).routes,
        *plugin_routes,  # one of them may serve /ws with more forms of messages
        WebSocketRoute("/ws", WebSocketEndpoint(host)),
    ]
    app = Starlette(
        routes=[*routes, *(Page(host, plugin_routes).routes if page else ())],
        middleware=[
            Middleware(
                RequestMiddleware,
                origins=OriginList([*([origins] if isinstance(origins, str) else origins), *public_origin]),
                hosts=HostList(names),
            ),
        ],
        exception_handlers={HTTPException: partial(_no_route, _offered(routes))},
        lifespan=_lifespan(host),
    )
    app.state.proxies = trusted_proxies(proxies, public_url)  # for `client_address`
    app.state.public_url = public_url  # for `base_url`, also in the routes of plugins
    # A redirect to the path without the slash would use the name that a proxy sent, not the public one.
    app.router.redirect_slashes = False
    return app


def _name(origin: str) -> str | None:
    return host_of(origin.partition("://")[2])


def _lifespan(host: Host) -> Any:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        async with host:
            yield

    return lifespan


def _offered(routes: Iterable[BaseRoute]) -> Mapping[str, str]:
    """Return how each path is used, as in "POST /start"."""
    uses: dict[str, str] = {}
    methods: dict[str, list[str]] = {}
    for each in routes:
        match each:
            case Route(path=path):
                methods.setdefault(path, []).extend(sorted((each.methods or {"GET"}) - {"HEAD"}))
                uses[path] = f"{' or '.join(methods[path])} {path}"
            case WebSocketRoute(path=path):
                uses.setdefault(path, f"the WebSocket {path}")
            case _:  # a route of a plugin may be of any class
                pass
    return uses


async def _no_route(offered: Mapping[str, str], request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code < HTTPStatus.BAD_REQUEST:
        return Response(status_code=error.status_code, headers=error.headers)
    return no_route_response(error, request.scope, offered)
