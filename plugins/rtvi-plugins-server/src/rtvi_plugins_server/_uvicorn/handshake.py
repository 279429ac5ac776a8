"""Have the ASGI app answer the handshake of a WebSocket.

An app that serves a session attaches it through the ASGI extension `EXTENSION` and returns. Any other app, as plugins
have, sends and receives ASGI events.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from uvicorn.protocols.utils import ClientDisconnected, get_local_addr, get_remote_addr, is_ssl
from websockets.http11 import Request, Response

from .._websocket_session import EXTENSION, CloseFrame, WebSocketApp
from .asgi_websocket import NORMAL, AsgiWebSocket

if TYPE_CHECKING:
    from .websocket import WebSocket

__all__ = ("Handshake",)

log = logging.getLogger("rtvi_plugins.server")

#: The close code of a connection that was lost.
_LOST: Final = 1006


class Handshake:
    """Runs the app for one handshake."""

    def __init__(self, socket: WebSocket, asgi_app: Any, root_path: str, app_state: dict[str, Any]) -> None:
        self._socket = socket
        self._asgi_app = asgi_app
        self._root_path = root_path
        self._app_state = app_state
        self._response: Response
        self._events: AsgiWebSocket | None = None
        self._answered = False
        #: The status, headers and body of a refusal that the app sends.
        self._refusal: tuple[int, list[tuple[str, str]], list[bytes]] | None = None
        self._disconnected: asyncio.Event | None = None
        self._connected = False

    def begin(
        self, transport: asyncio.Transport, request: Request, response: Response, tasks: set[asyncio.Task[None]]
    ) -> None:
        """Run the app in a task. `response` is the response that accepts."""
        self._response = response
        self._disconnected = asyncio.Event()
        task = asyncio.get_running_loop().create_task(self._run(self._scope(transport, request)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def disconnected(self) -> None:
        """The client has disconnected."""
        if self._disconnected is not None:
            self._disconnected.set()

    def _scope(self, transport: asyncio.Transport, request: Request) -> dict[str, Any]:
        path, _, query = request.path.partition("?")
        root = self._root_path
        return {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss" if is_ssl(transport) else "ws",
            "server": get_local_addr(transport),
            "client": get_remote_addr(transport),
            "root_path": root,
            "path": root + unquote(path),
            "raw_path": (root + path).encode("latin-1", "replace"),
            "query_string": query.encode("latin-1", "replace"),
            "headers": [(name.lower().encode("latin-1"), _bytes(value)) for name, value in request.headers.raw_items()],
            "subprotocols": [
                each.strip() for value in request.headers.get_all("Sec-WebSocket-Protocol") for each in value.split(",")
            ],
            "state": self._app_state.copy(),
            "extensions": {"websocket.http.response": {}, EXTENSION: {"attach": self._attach}},
        }

    async def _run(self, scope: dict[str, Any]) -> None:
        try:
            await self._asgi_app(scope, self._receive, self._send)
        except ClientDisconnected:
            pass
        except Exception as error:
            log.error("the app of a WebSocket raised %s", type(error).__name__)
        finally:
            if not self._answered:
                self._reject(500, [], b"")
            elif self._events is not None:
                self._events.end(CloseFrame(NORMAL))

    def _attach(self, app: WebSocketApp) -> None:
        self._answered = True
        self._socket.accept(self._response, app)

    def _reject(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self._answered = True
        self._socket.reject(status, headers, body)

    async def _receive(self) -> dict[str, Any]:
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        if self._events is not None:
            return await self._events.receive_event()
        assert self._disconnected is not None
        if not self._answered:
            await self._disconnected.wait()
        return {"type": "websocket.disconnect", "code": _LOST}

    async def _send(self, event: dict[str, Any]) -> None:
        if self._disconnected is not None and self._disconnected.is_set():
            raise ClientDisconnected
        match event["type"]:
            case "websocket.accept" if not self._answered:
                self._accept(event)
            case "websocket.http.response.start" if not self._answered and self._refusal is None:
                self._refusal = event["status"], _decoded(event.get("headers", ())), []
            case "websocket.http.response.body" if not self._answered and self._refusal is not None:
                status, headers, parts = self._refusal
                parts.append(event.get("body", b""))
                if not event.get("more_body", False):
                    self._reject(status, headers, b"".join(parts))
            case "websocket.close" if not self._answered:
                self._reject(403, [], b"")
            case "websocket.send" | "websocket.close" if self._events is not None:
                await self._events.send(event)
            case type:
                raise RuntimeError(f"The ASGI event {type!r} is not expected here.")

    def _accept(self, event: dict[str, Any]) -> None:
        for name, value in _decoded(event.get("headers", ())):
            self._response.headers[name] = value
        if subprotocol := event.get("subprotocol"):
            self._response.headers["Sec-WebSocket-Protocol"] = subprotocol
        self._events = AsgiWebSocket()
        self._attach(self._events)


def _decoded(headers: Any) -> list[tuple[str, str]]:
    return [(bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in headers]


def _bytes(value: str) -> bytes:
    # websockets decodes headers with ISO-8859-1; before 17.0, with surrogates for what is not ASCII.
    with suppress(UnicodeEncodeError):
        return value.encode("latin-1")
    return value.encode("ascii", "surrogateescape")
