"""The routes for `SmallWebRTCTransport`: start a session, answer its offers, and receive its candidates."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

# Loading the resampler takes a while, and the first caller must not wait for it.
import rtvi_plugins.voice.resampling  # noqa: F401  # pyright: ignore[reportUnusedImport]
from rtvi_plugins.errors import InternalError, ServerFull, UnknownSession
from rtvi_plugins.hookspecs import hookimpl
from rtvi_plugins.hosting import Host
from rtvi_plugins_server.starting import PRIVATE, base_url, client_address, has_own_url, read_body, start_session

from ._bodies import BODY_BYTES, read_offer, read_trickle
from ._ice import VARIABLE, IceServers, has_network, read_ice_servers
from ._session import Timeouts, WebRTCSession
from .errors import NeedsAsyncio, NoNetwork, NoSuchSession

__all__ = ("SmallWebRTC", "server_routes")

log = logging.getLogger("rtvi_plugins.webrtc")

_OFFER_PATH: Final = "/webrtc/sessions/{id}/api/offer"


@hookimpl
def server_routes(host: Host) -> Sequence[BaseRoute]:
    """Return the routes of `SmallWebRTC`, with the ICE servers from the environment variable RTVI_ICE_SERVERS."""
    _quieten()
    try:
        servers = read_ice_servers(os.environ.get(VARIABLE))
    except ValueError as error:
        log.error("%s", error)
        servers = None
    return SmallWebRTC(host, servers).routes


def _quieten() -> None:
    """Set the log level of aiortc to warning, unless one is set: at info it logs every packet."""
    for name in ("aioice", "aiortc"):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)


class SmallWebRTC:
    """The WebRTC sessions of one host, by their id, which is the token of the start.

    `servers` is None if the operator's list is invalid.
    """

    def __init__(self, host: Host, servers: IceServers | None, timeouts: Timeouts | None = None) -> None:
        self._host = host
        self._servers = servers
        self._timeouts = timeouts or Timeouts()
        self._sessions: dict[str, WebRTCSession] = {}

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """The routes, for Starlette."""
        return [
            Route("/webrtc/start", self.start, methods=["POST"]),
            Route(_OFFER_PATH, self.offer, methods=["POST"]),
            Route(_OFFER_PATH, self.candidates, methods=["PATCH"]),
        ]

    async def start(self, request: Request) -> Response:
        """Start a session. The client makes the URL of its offer from `sessionId`, if the answer has none."""
        servers = self._ready()
        if not has_network():
            raise NoNetwork("This server has no network address that WebRTC may use; the WebSocket works without one.")
        started = await start_session(request, self._host)
        body: dict[str, Any] = {"sessionId": started.token}
        if has_own_url(request):
            endpoint = base_url(request) + _OFFER_PATH.format(id=started.token)
            body["webrtcRequestParams"] = {"endpoint": endpoint}
        if servers.for_clients:
            body["iceConfig"] = {"iceServers": servers.for_clients}
        return JSONResponse(body, headers=PRIVATE)

    async def offer(self, request: Request) -> Response:
        """Answer an offer. The first claims the session."""
        servers = self._ready()
        offer = read_offer(await self._read_body(request))
        id = request.path_params["id"]
        session = self._sessions.get(id) or self._claim(id, servers, client_address(request))
        return JSONResponse(await session.offer(offer), headers=PRIVATE)

    async def candidates(self, request: Request) -> Response:
        """Receive candidates that the client found after its offer."""
        self._ready()
        trickle = read_trickle(await self._read_body(request))
        session = self._sessions.get(request.path_params["id"])
        if session is None:
            raise NoSuchSession("There is no session with this id; start again.")
        await session.add(trickle)
        return JSONResponse({"status": "success"})

    async def _read_body(self, request: Request) -> bytes:
        """Return the body of a request, which is counted like a start: each offer makes aiortc work."""
        body = await read_body(request, body_bytes=BODY_BYTES)
        self._host.charge_address(len(body), client_address(request))
        return body

    def _ready(self) -> IceServers:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise NeedsAsyncio("WebRTC needs a server on asyncio, which this one is not; use the WebSocket.") from None
        if self._servers is None:
            raise InternalError(f"The operator's {VARIABLE} is invalid; the log of this server has the reason.")
        return self._servers

    def _claim(self, id: str, servers: IceServers, address: str | None) -> WebRTCSession:
        # Only connecting shows that there is a client. Until then, the session counts as one that waits for its client.
        most = self._host.limits.unclaimed_per_address
        connecting = (each for each in self._sessions.values() if each.address == address and not each.was_connected)
        if address is not None and sum(1 for _ in connecting) >= most:
            raise ServerFull(f"{most} sessions of this address are not connected yet; try again later.")
        try:
            connection = self._host.claim(id)
        except UnknownSession:
            raise NoSuchSession("The session is unknown, over, or was not claimed in time; start again.") from None
        session = self._sessions[id] = WebRTCSession(
            connection, servers, self._timeouts, outbox_size=self._host.limits.outbox_size, address=address
        )
        self._host.start_soon(self._run, id, session)
        return session

    async def _run(self, id: str, session: WebRTCSession) -> None:
        try:
            await session.run()
        finally:
            del self._sessions[id]
