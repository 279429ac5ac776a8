"""The WebSocket endpoint `/ws` with the form of messages that `pipecat eval` uses."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from starlette.routing import BaseRoute, WebSocketRoute

from rtvi_plugins.hookspecs import hookimpl
from rtvi_plugins.hosting import Host
from rtvi_plugins_server.websocket import WebSocketEndpoint

from ._form import eval_form

__all__ = ("server_routes",)

log = logging.getLogger("rtvi_plugins.eval")


@hookimpl
def server_routes(host: Host) -> Sequence[BaseRoute]:
    """Return the endpoint, in development mode only: a client in this form can replace the whole conversation."""
    if not host.dev:
        log.error("the plugin eval works in development mode only; run it with --dev, or remove --plugin eval")
        return []
    return [WebSocketRoute("/ws", WebSocketEndpoint(host, [eval_form]))]
