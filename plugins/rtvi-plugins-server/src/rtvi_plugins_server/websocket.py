"""The WebSocket endpoint, for plugins that add a form of messages to it.

    def my_form(connection: Connection, first: str | bytes) -> WebSocketForm | None:
        return MyForm(connection) if is_mine(first) else None

    @hookimpl
    def server_routes(host: Host) -> Sequence[BaseRoute]:
        return [WebSocketRoute("/ws", WebSocketEndpoint(host, [my_form]))]

The routes of plugins come before the server's own, so this endpoint serves all clients. Clients of the published forms
notice no difference.
"""

from __future__ import annotations

from ._websocket_endpoint import WebSocketEndpoint
from ._websocket_session import CloseFrame, FormChoice, WebSocketForm

__all__ = ("CloseFrame", "FormChoice", "WebSocketEndpoint", "WebSocketForm")
