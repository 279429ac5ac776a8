"""The handshake of a WebSocket, answered by an ASGI app, and the app's end of the WebSocket where it keeps it.

An app that serves a session passes it to the server by the extension `EXTENSION` and returns. Any other, as those of
plugins, sends and receives the events of ASGI.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote

from uvicorn.protocols.utils import ClientDisconnected, get_local_addr, get_remote_addr, is_ssl
from websockets.http11 import Request, Response

from ._carried import Carried, Goodbye

if TYPE_CHECKING:
    from ._websocket import WebSocket

__all__ = ("EXTENSION", "Handshake")

log = logging.getLogger("rtvi_plugins.server")

#: In `scope["extensions"]`: `{"carry": function}`, to be called with a `Carried` in place of accepting the WebSocket.
EXTENSION: Final = "rtvi_plugins.carry"

#: Messages of the client's that may wait for an app before the client has to.
_WAITING: Final = 32
_GONE, _LOST, _NORMAL = 1005, 1006, 1000


class Handshake:
    """Runs the app for one handshake."""

    def __init__(self, socket: WebSocket, app: Any, root_path: str, app_state: dict[str, Any]) -> None:
        self._socket = socket
        self._app = app
        self._root_path = root_path
        self._app_state = app_state
        self._response: Response
        self._events: AppEnd | None = None
        self._answered = False
        self._refusal: tuple[int, list[tuple[str, str]], list[bytes]] | None = None
        self._gone: asyncio.Event | None = None
        self._connected = False

    def begin(
        self, transport: asyncio.Transport, request: Request, response: Response, tasks: set[asyncio.Task[None]]
    ) -> None:
        """Have the app answer; `response` is the answer that accepts."""
        self._response = response
        self._gone = asyncio.Event()
        task = asyncio.get_running_loop().create_task(self._run(self._scope(transport, request)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def lost(self) -> None:
        """The client is gone."""
        if self._gone is not None:
            self._gone.set()

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
            "extensions": {"websocket.http.response": {}, EXTENSION: {"carry": self._carry}},
        }

    async def _run(self, scope: dict[str, Any]) -> None:
        try:
            await self._app(scope, self._receive, self._send)
        except ClientDisconnected:
            pass
        except Exception as error:
            log.error("the app of a WebSocket raised %s", type(error).__name__)
        finally:
            if not self._answered:
                self._reject(500, [], b"")
            elif self._events is not None:
                self._events.end(Goodbye(_NORMAL))

    def _carry(self, carried: Carried) -> None:
        self._answered = True
        self._socket.accept(self._response, carried)

    def _reject(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self._answered = True
        self._socket.reject(status, headers, body)

    async def _receive(self) -> dict[str, Any]:
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        if self._events is not None:
            return await self._events.receive_event()
        assert self._gone is not None
        if not self._answered:
            await self._gone.wait()
        return {"type": "websocket.disconnect", "code": _LOST}

    async def _send(self, event: dict[str, Any]) -> None:
        if self._gone is not None and self._gone.is_set():
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
        self._events = AppEnd()
        self._carry(self._events)


class AppEnd:
    """An app's end of a WebSocket: events of ASGI in, events of ASGI out."""

    def __init__(self) -> None:
        self.on_sendable: Callable[[], None] | None = None
        self.on_room: Callable[[], None] | None = None
        self.goodbye: Goodbye | None = None
        self._received: deque[dict[str, Any]] = deque()
        self._sent: list[str | bytes] = []
        self._gone = False
        self._changed = asyncio.Event()

    # ---- the carrier's side ----------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether the app is behind."""
        return len(self._received) >= _WAITING

    def charge(self, size: int) -> bool:
        """Receive every frame: the app decides."""
        return True

    def receive(self, data: str | bytes) -> Goodbye | None:
        """Keep a message for the app."""
        self._received.append({"type": "websocket.receive", "text" if isinstance(data, str) else "bytes": data})
        self._changed.set()
        return None

    def take(self) -> Sequence[str | bytes]:
        """Return what the app has sent."""
        sent, self._sent = self._sent, []
        self._changed.set()
        return sent

    def lost(self) -> None:
        """The client is gone."""
        self._gone = True
        self._changed.set()

    # ---- the app's side --------------------------------------------------------------------------------------------

    async def receive_event(self) -> dict[str, Any]:
        """Return the next message, or the disconnect."""
        await self._until(lambda: bool(self._received) or self._gone)
        if not self._received:
            return {"type": "websocket.disconnect", "code": _GONE}
        event = self._received.popleft()
        if len(self._received) == _WAITING // 2 and self.on_room is not None:
            self.on_room()
        return event

    async def send(self, event: dict[str, Any]) -> None:
        """Send a message, once those before it were taken, or close."""
        if self._gone or self.goodbye is not None:
            raise ClientDisconnected
        if event["type"] == "websocket.close":
            self.end(Goodbye(event.get("code", _NORMAL), event.get("reason") or ""))
            return
        data = event.get("bytes")
        self._sent.append(cast("str", event["text"]) if data is None else data)
        self._sendable()
        await self._until(lambda: not self._sent or self._gone)

    def end(self, goodbye: Goodbye) -> None:
        """Close when everything was taken."""
        if self.goodbye is None:
            self.goodbye = goodbye
            self._sendable()

    def _sendable(self) -> None:
        if self.on_sendable is not None:
            self.on_sendable()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()


def _decoded(headers: Any) -> list[tuple[str, str]]:
    return [(bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in headers]


def _bytes(value: str) -> bytes:
    # websockets decodes headers with ISO-8859-1; before 17.0, with surrogates for what is not ASCII.
    with suppress(UnicodeEncodeError):
        return value.encode("latin-1")
    return value.encode("ascii", "surrogateescape")
