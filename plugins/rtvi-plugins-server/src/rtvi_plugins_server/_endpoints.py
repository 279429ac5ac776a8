"""The HTTP endpoints of a bot: `/connect`, `/start`, `/action`, `/describe`, `/health` and `/ready`."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from rtvi_plugins.hosting import Host

from ._error_responses import error_response
from ._middleware import SECRET_HEADER
from ._single_turn import run_actions
from .starting import PRIVATE, base_url, read_object, start_session

__all__ = ("Endpoints",)


@frozen
class Endpoints:
    """The endpoints of one host."""

    host: Host
    body_bytes: int

    @property
    def routes(self) -> list[BaseRoute]:
        return [
            Route("/connect", self.connect, methods=["POST"]),
            Route("/start", self.start, methods=["POST"]),
            Route("/action", self.action, methods=["POST"]),
            Route("/describe", self.describe, methods=["POST"]),
            Route("/health", self.health, methods=["GET"]),
            Route("/ready", self.ready, methods=["GET"]),
        ]

    async def connect(self, request: Request) -> Response:
        """Start a session for a 0.x client, in the form that its WebSocket transport reads."""
        started = await start_session(request, self.host, body_bytes=self.body_bytes)
        # A token has only characters that need no quoting in a URL.
        return JSONResponse({"ws_url": f"{self._ws_url(request)}?token={started.token}"}, headers=PRIVATE)

    async def start(self, request: Request) -> Response:
        """Start a session for a 1.x client, whose WebSocket transport rejects any key besides these two."""
        started = await start_session(request, self.host, body_bytes=self.body_bytes)
        return JSONResponse({"wsUrl": self._ws_url(request), "token": started.token}, headers=PRIVATE)

    async def action(self, request: Request) -> Response:
        """Run actions of a 0.x client that is not connected."""
        return await run_actions(request, self.host, body_bytes=self.body_bytes)

    async def describe(self, request: Request) -> Response:
        """Describe what a start with the same body would offer."""
        body = await read_object(request, body_bytes=self.body_bytes, host=self.host)
        await self.host.all_imported()
        described = self.host.describe(body, secret=request.headers.get(SECRET_HEADER))
        return Response(described, media_type="application/json", headers=PRIVATE)

    async def health(self, request: Request) -> Response:
        """Report whether new sessions are accepted, for load balancers. 503 means that the server is draining."""
        draining, failing = self.host.draining, self.host.failing_providers
        body: dict[str, Any] = {"status": "draining" if draining else "ok", "open_sessions": self.host.open_sessions}
        if failing:
            body["failing_providers"] = failing
        return JSONResponse(body, 503 if draining else 200, headers=PRIVATE)

    async def ready(self, request: Request) -> Response:
        """Report whether a start would be accepted now. 503, with the error of a refused start, if it would not."""
        if (refusal := self.host.refusal) is not None:
            return error_response(refusal)
        body = {"status": "ready", "open_sessions": self.host.open_sessions, "load": round(self.host.load, 3)}
        return JSONResponse(body, headers=PRIVATE)

    def _ws_url(self, request: Request) -> str:
        return f"ws{base_url(request).removeprefix('http')}/ws"
