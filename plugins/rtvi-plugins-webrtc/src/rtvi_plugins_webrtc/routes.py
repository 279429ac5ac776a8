"""The routes that `SmallWebRTCTransport` asks for: start a session, answer its offers, take its candidates."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

# Loading the resampler takes a while, which the first caller would wait for.
import rtvi_plugins.voice.resampling  # noqa: F401  # pyright: ignore[reportUnusedImport]
from rtvi_plugins.errors import InternalError, UnknownSession
from rtvi_plugins.hookspecs import hookimpl
from rtvi_plugins.hosting import Host
from rtvi_plugins_server.starting import PRIVATE, read_body, start_session

from ._bodies import BODY_BYTES, read_offer, read_trickle
from ._ice import VARIABLE, IceServers, has_network, read_ice_servers
from ._link import Link, Patience
from .errors import NeedsAsyncio, NoNetwork, NoSuchSession

__all__ = ("SmallWebRTC", "server_routes")

log = logging.getLogger("rtvi_plugins.webrtc")

_OFFER_PATH: Final = "/webrtc/sessions/{id}/api/offer"


@hookimpl
def server_routes(host: Host) -> Sequence[BaseRoute]:
    """The routes of `SmallWebRTC`, with the ICE servers of the environment variable RTVI_ICE_SERVERS."""
    _quieten()
    try:
        servers = read_ice_servers(os.environ.get(VARIABLE))
    except ValueError as error:
        log.error("%s", error)
        servers = None
    return SmallWebRTC(host, servers).routes


def _quieten() -> None:
    """At level info these two tell of each packet's way; whoever wants that sets their level first."""
    for name in ("aioice", "aiortc"):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)


class SmallWebRTC:
    """The sessions of one host that are held over WebRTC, by their id: the token that the start answered.

    `servers` is None when the operator's list of them cannot be read.
    """

    def __init__(self, host: Host, servers: IceServers | None, patience: Patience | None = None) -> None:
        self._host = host
        self._servers = servers
        self._patience = patience or Patience()
        self._links: dict[str, Link] = {}

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """The routes, for Starlette."""
        return [
            Route("/webrtc/start", self.start, methods=["POST"]),
            Route(_OFFER_PATH, self.offer, methods=["POST"]),
            Route(_OFFER_PATH, self.candidates, methods=["PATCH"]),
        ]

    async def start(self, request: Request) -> Response:
        """Start a session. The client makes the address of its offer from `sessionId`."""
        servers = self._ready()
        if not has_network():
            raise NoNetwork("This server has no network address that WebRTC may use; the WebSocket works without one.")
        started = await start_session(request, self._host)
        told: dict[str, Any] = {"sessionId": started.token}
        if servers.told:
            told["iceConfig"] = {"iceServers": servers.told}
        return JSONResponse(told, headers=PRIVATE)

    async def offer(self, request: Request) -> Response:
        """Answer an offer. The first claims the session."""
        servers = self._ready()
        offer = read_offer(await read_body(request, body_bytes=BODY_BYTES))
        id = request.path_params["id"]
        link = self._links.get(id) or self._claim(id, servers)
        return JSONResponse(await link.offer(offer), headers=PRIVATE)

    async def candidates(self, request: Request) -> Response:
        """Take candidates that the client found after its offer."""
        self._ready()
        trickle = read_trickle(await read_body(request, body_bytes=BODY_BYTES))
        link = self._links.get(request.path_params["id"])
        if link is None:
            raise NoSuchSession("There is no session with this id; start again.")
        await link.add(trickle)
        return JSONResponse({"status": "success"})

    def _ready(self) -> IceServers:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise NeedsAsyncio("WebRTC needs a server on asyncio, which this one is not; use the WebSocket.") from None
        if self._servers is None:
            raise InternalError(f"The operator's {VARIABLE} cannot be read; the log of this server says why.")
        return self._servers

    def _claim(self, id: str, servers: IceServers) -> Link:
        try:
            connection = self._host.claim(id)
        except UnknownSession:
            raise NoSuchSession("The session is unknown, over, or was not claimed in time; start again.") from None
        link = self._links[id] = Link(connection, servers, self._patience, outbox_size=self._host.limits.outbox_size)
        self._host.start_soon(self._run, id, link)
        return link

    async def _run(self, id: str, link: Link) -> None:
        try:
            await link.run()
        finally:
            del self._links[id]
