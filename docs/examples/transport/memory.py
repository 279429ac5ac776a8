"""A transport in the memory of one process: the smallest there is, and what a test can talk through."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
from attrs import define, field
from rtvi_plugins.hosting import Connection, Host
from rtvi_plugins.kinds import Audio

RATE = 16_000


@define(eq=False)
class Line:
    """The client's end of it: what came back is in `messages` and `audio`."""

    connection: Connection
    messages: list[Mapping[str, Any]] = field(factory=list[Mapping[str, Any]])
    audio: list[Audio] = field(factory=list[Audio])

    def send(self, type: str, data: Mapping[str, Any], id: str = "1") -> None:
        """Send an RTVI message."""
        self.connection.receive(json.dumps({"label": "rtvi-ai", "type": type, "id": id, "data": data}))

    def speak(self, audio: Audio) -> None:
        """Send what the microphone has recorded."""
        self.connection.receive_audio(audio)

    def told(self, type: str) -> list[Any]:
        """The data of all messages of a type that have come."""
        return [each.get("data") for each in self.messages if each["type"] == type]

    async def carry(self) -> None:
        """Take what the bot sends, until the session has ended."""
        while batch := await self.connection.outgoing():
            for item in batch:
                if isinstance(item, Audio):
                    self.audio.append(item)
                else:
                    self.messages.append(json.loads(item))


@asynccontextmanager
async def call(host: Host, body: object = None, *, secret: str | None = None) -> AsyncGenerator[Line]:
    """Start a session and hold it, as a client that hears and speaks."""
    started = await host.start(body, secret=secret)
    connection = host.claim(started.token)
    connection.open_audio(RATE)  # before the first message: the bot begins with it
    line = Line(connection)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(line.carry)
        line.send("client-ready", {"version": "2.1.0"})
        yield line
        connection.disconnected()
        tasks.cancel_scope.cancel()
