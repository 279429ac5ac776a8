"""The outermost layer of the app: check Host and Origin, add CORS headers, and answer every failure in JSON.

It also keeps the queries of requests, which contain tokens, from the log of the server.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rtvi_plugins.errors import HostRefused, InternalError, OriginRefused, RequestError, report
from rtvi_plugins.security import LogThrottle

from ._error_responses import close_event, send_error
from ._origins import HostList, OriginList

__all__ = ("SECRET_HEADER", "RequestMiddleware")

log = logging.getLogger("rtvi_plugins.server")


#: The header that carries the operator's secret.
SECRET_HEADER = "x-rtvi-operator-secret"

_INTERNAL_ERROR = 1011

# Published clients send POST to start, PATCH for WebRTC, and `cache-control` with single-turn actions.
_PREFLIGHT = {
    "access-control-allow-methods": "GET, POST, PATCH",
    "access-control-allow-headers": f"content-type, cache-control, authorization, {SECRET_HEADER}",
    "access-control-max-age": "600",
}


class RequestMiddleware:
    """Checks Host and Origin, answers CORS preflights, and turns every failure into a JSON response.

    It must be the outermost layer: a browser shows a page only the responses, errors included, that have the CORS
    header.
    """

    def __init__(self, app: ASGIApp, *, origins: OriginList, hosts: HostList) -> None:
        self.app = app
        self._origins = origins
        self._hosts = hosts
        # Anybody can send thousands of such requests in a second.
        self._refusals: Mapping[type[RequestError], LogThrottle] = {
            family: LogThrottle(log) for family in (HostRefused, OriginRefused)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        # A server such as uvicorn logs the query from its own scope, and that of a WebSocket contains a token.
        server_scope, scope = scope, {**scope}
        server_scope["query_string"] = b""
        try:
            await self._answer(scope, receive, send)
        finally:
            # Layers outside, such as those of OpenTelemetry, look for the route.
            server_scope.update({name: value for name, value in scope.items() if name not in server_scope})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        try:
            self._check(scope, headers)
        except (HostRefused, OriginRefused) as error:
            self._refusals[type(error)].warn("refused a request: %s", error.message)
            await send_error(error, scope, receive, send)
            return
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._http(scope, headers, receive, send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        host = headers.get("host")
        # Without the header it is HTTP/1.0, as in the health checks of some load balancers. Browsers do not speak it.
        if host is not None and not self._hosts.allows(host):
            raise HostRefused(f"This server does not accept the host name {host[:100]!r}.")
        origin = headers.get("origin")
        # Browsers send Origin with every WebSocket and every POST. A client that sends none is not a browser.
        if origin is None or self._origins.allows(origin):
            return
        # The server's own page is allowed. Without a check of Host, a rebound name would look like it.
        scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
        if not (self._hosts.checked and origin == f"{scheme}://{host}"):
            raise OriginRefused(
                f"The origin {origin[:100]!r} is not allowed by this server; its operator allows it with --origin."
            )

    async def _http(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        response = _CorsSend(send, headers.get("origin"))
        try:
            if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
                await Response(status_code=204, headers=_PREFLIGHT)(scope, receive, response)
            else:
                await self.app(scope, receive, response)
        except RequestError as error:
            await send_error(error, scope, receive, response)
        except ClientDisconnect:
            pass
        except Exception as error:
            self._report(scope, error)
            if response.begun:  # The status is already sent; the server drops the connection.
                raise RuntimeError("A response has ended too early; the reason is logged above.") from None
            await send_error(_unexpected(), scope, receive, response)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            self._report(scope, error)
            await send(close_event(_INTERNAL_ERROR, _unexpected().message))

    def _report(self, scope: Scope, error: Exception) -> None:
        # `report` logs the error's text only at level debug, and scrubbed, because it may contain keys from a start
        # request. The path may contain a session's token, so the pattern of the route is logged instead.
        report(f"the request {getattr(scope.get('route'), 'path', '')}".rstrip(), error)


def _unexpected() -> InternalError:
    return InternalError("The server has failed; its operator finds the reason in the log.")


class _CorsSend:
    """A `send` that adds the CORS headers and notes whether a response has begun."""

    def __init__(self, send: Send, origin: str | None) -> None:
        self._send = send
        self._origin = origin
        self.begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            headers = MutableHeaders(scope=message)
            headers.add_vary_header("Origin")
            if self._origin is not None:
                headers["access-control-allow-origin"] = self._origin
        await self._send(message)
