"""A transport in the memory of one process, for tests."""

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
    """The client's end. It collects all messages and audio from the bot."""

    connection: Connection
    messages: list[Mapping[str, Any]] = field(factory=list[Mapping[str, Any]])
    audio: list[Audio] = field(factory=list[Audio])

    def send(self, type: str, data: Mapping[str, Any], id: str = "1") -> None:
        """Send an RTVI message."""
        self.connection.receive(json.dumps({"label": "rtvi-ai", "type": type, "id": id, "data": data}))

    def speak(self, audio: Audio) -> None:
        """Send audio from the microphone."""
        self.connection.receive_audio(audio)

    def received(self, type: str) -> list[Any]:
        """Return the data of all received messages of a type."""
        return [each.get("data") for each in self.messages if each["type"] == type]

    async def run(self) -> None:
        """Receive from the bot until the session ends."""
        while batch := await self.connection.outgoing():
            for item in batch:
                if isinstance(item, Audio):
                    self.audio.append(item)
                else:
                    self.messages.append(json.loads(item))


@asynccontextmanager
async def call(host: Host, body: object = None, *, secret: str | None = None) -> AsyncGenerator[Line]:
    """Start a session and connect to it, as a client with audio."""
    started = await host.start(body, secret=secret)
    connection = host.claim(started.token)
    connection.open_audio(RATE)  # must come before the first message
    line = Line(connection)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(line.run)
        line.send("client-ready", {"version": "2.1.0"})
        yield line
        connection.disconnected()
        tasks.cancel_scope.cancel()
