"""A client without our library, for what the library hides: close codes, and answers that nobody awaits."""

from __future__ import annotations

import json
from typing import Any

import httpx2
from attrs import define, field
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket

__all__ = ("Raw",)


@define(eq=False)
class Raw:
    """One session, on one socket at a time. asyncio only."""

    socket: Any = None
    token: str = ""
    received: list[Any] = field(factory=list[Any])
    sockets: list[ClientConnection] = field(factory=list[ClientConnection])

    async def start(self, port: int, body: object = None, **about: Any) -> ClientConnection:
        """Start or resume a session, and wait until the bot is ready. Return the socket."""
        async with httpx2.AsyncClient() as http:
            url = f"http://127.0.0.1:{port}/start"
            started = (await http.post(url, json=body or {}, follow_redirects=True)).json()
        socket = self.socket = await connect_websocket(f"{started['wsUrl']}?token={started['token']}")
        self.sockets.append(socket)
        await self.send("client-ready", {"version": "2.1.0", **about}, "ready")
        ready = await self.until("bot-ready")
        self.token = ready["about"]["resume"]["token"]
        return socket

    @property
    def worker(self) -> str:
        """The number of the worker in the socket's address."""
        return str(self.socket.request.path).split("/")[1]

    async def resume(self, port: int, **about: Any) -> ClientConnection:
        """Resume the session."""
        return await self.start(port, {"resume": self.token}, **about)

    async def close(self) -> None:
        """Drop all sockets that were not closed."""
        for each in self.sockets:
            each.transport.abort()
            await each.wait_closed()

    async def send(self, type: str, data: Any, id: str) -> None:
        """Send a message."""
        await self.socket.send(json.dumps({"label": "rtvi-ai", "type": type, "id": id, "data": data}))

    async def call(self, action: str, id: str, **arguments: Any) -> None:
        """Call an action of the bot."""
        sent = [{"name": name, "value": value} for name, value in arguments.items()]
        await self.send("action", {"service": "bot", "action": action, "arguments": sent}, id)

    async def until(self, type: str, id: str | None = None) -> Any:
        """Return the data of the next message of a type, or with an id."""
        while True:
            message = json.loads(await self.socket.recv())
            self.received.append(message)
            if message["type"] == type and id in (None, message.get("id")):
                return message.get("data")
