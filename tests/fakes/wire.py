"""A client's end of a session: messages go in at once, and everything that comes back is kept."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import anyio
import anyio.lowlevel
from attrs import define, field

from rtvi_plugins.hosting import Connection, Host, Limits, ManualClock
from rtvi_plugins.kinds import Audio
from rtvi_plugins.session import Secret

__all__ = ("OPERATOR", "Message", "Wire", "connected", "connection_to", "host_of", "settle")

#: The secret that the hosts of these tests expect of their operator.
OPERATOR = "secret-of-a-test-operator"

Message = dict[str, Any]


async def settle() -> None:
    """Let all tasks run until they wait."""
    for _ in range(10):
        await anyio.lowlevel.checkpoint()
    await anyio.wait_all_tasks_blocked()


@define(eq=False)
class Wire:
    """One client. `received` is all that the bot has sent, in order, up to where it was let.

    `heard` is the audio that it has sent, each frame with the number of messages that came before it.
    """

    host: Host
    connection: Connection
    clock: ManualClock
    received: list[Message] = field(factory=list[Message])
    heard: list[tuple[int, Audio]] = field(factory=list[tuple[int, Audio]])
    _ids: Iterator[int] = field(factory=lambda: itertools.count(1))

    def send(self, type: str, data: Any = None, *, id: str | None = None) -> str:
        """Send a message and return its id, without waiting for anything."""
        id = f"{next(self._ids):08x}" if id is None else id
        body = {} if data is None else {"data": data}
        self.connection.receive(json.dumps({"label": "rtvi-ai", "type": type, "id": id, **body}))
        return id

    def call(self, action: str, **arguments: Any) -> str:
        """Call an action, `"bot:echo"`, and return the id of the request."""
        service, _, name = action.partition(":")
        sent = [{"name": name, "value": value} for name, value in arguments.items()]
        return self.send("action", {"service": service, "action": name, "arguments": sent})

    def update(self, *, interrupt: bool = False, **services: Mapping[str, Any]) -> str:
        """Send an update of the config, by service, and return the id of the request."""
        config = [
            {"service": service, "options": [{"name": name, "value": value} for name, value in options.items()]}
            for service, options in services.items()
        ]
        return self.send("update-config", {"config": config, "interrupt": interrupt})

    async def answer(self, id: str) -> Message:
        """The one answer to a request, after all tasks have run until they wait."""
        await settle()
        (found,) = self.answers(id)
        return found

    async def result(self, id: str) -> Any:
        """The result of an action that succeeded."""
        answer = await self.answer(id)
        assert answer["type"] == "action-response", answer
        return answer["data"]["result"]

    async def error(self, id: str) -> Message:
        """The data of the error with which a request was answered."""
        answer = await self.answer(id)
        assert answer["type"] == "error-response", answer
        return cast(Message, answer["data"])

    async def config(self) -> dict[str, dict[str, Any]]:
        """The values that the client may read, by service and option."""
        answer = await self.answer(self.send("get-config", {}))
        return {
            entry["service"]: {each["name"]: each["value"] for each in entry["options"]}
            for entry in answer["data"]["config"]
        }

    def answers(self, id: str) -> list[Message]:
        """The answers with an id."""
        return [each for each in self.received if each.get("id") == id]

    def data_of(self, type: str) -> list[Any]:
        """The data of all messages of a type."""
        return [each.get("data") for each in self.received if each["type"] == type]

    async def listen(self) -> None:
        """Keep what the bot sends, until the session has ended."""
        while batch := await self.connection.outgoing():
            for each in batch:
                if isinstance(each, Audio):
                    self.heard.append((len(self.received), each))
                else:
                    self.received.append(json.loads(each))


def host_of(
    bot: Any,
    *modules: ModuleType,
    limits: Limits | None = None,
    clock: ManualClock | None = None,
    environ: Mapping[str, str] | None = None,
    record: Path | None = None,
) -> Host:
    """A host on a clock that stands still, in an environment that is empty unless it is given."""
    return Host(
        bot,
        modules=modules,
        limits=limits,
        clock=clock or ManualClock(),
        environ=environ or {},
        operator_secret=Secret(OPERATOR),
        record=record,
    )


@asynccontextmanager
async def connection_to(host: Host, clock: ManualClock, body: object = None) -> AsyncGenerator[Wire]:
    """A session of an entered host. A client that is not ready has claimed it."""
    started = await host.start(body, secret=OPERATOR)
    wire = Wire(host, host.claim(started.token), clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wire.listen)
        yield wire
        await settle()
        tasks.cancel_scope.cancel()
    wire.connection.disconnected()


@asynccontextmanager
async def connected(
    bot: Any,
    *modules: ModuleType,
    version: str | None = "2.1.0",
    ready: bool = True,
    body: object = None,
    limits: Limits | None = None,
    audio: int | None = None,
    record: Path | None = None,
) -> AsyncGenerator[Wire]:
    """A session with a bot, its client ready. `version=None` is a client of 0.x, which names none.

    `audio` is the rate at which the transport plays what the bot says; without one it carries text alone. `record` is
    the folder in which the session is recorded.
    """
    clock = ManualClock()
    async with (
        host_of(bot, *modules, limits=limits, clock=clock, record=record) as host,
        connection_to(host, clock, body) as wire,
    ):
        if audio is not None:
            wire.connection.open_audio(audio)
        if ready:
            wire.send("client-ready", {} if version is None else {"version": version, "about": {"library": "test"}})
            await settle()
        yield wire
