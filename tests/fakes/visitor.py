"""A client that resumes its session, on any number of connections and hosts."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from rtvi_plugins.hosting import Connection, Host
from rtvi_plugins.kinds import Audio

from .wire import OPERATOR, Message, settle

__all__ = ("Visitor", "visitor")


@define(eq=False)
class Visitor:
    """One client. It knows the requests that wait, and drops answers to others."""

    tasks: TaskGroup
    token: str = ""
    #: The data of the last `bot-ready`.
    ready: Any = None
    connection: Any = None
    #: Every answer, by id, and every answer that nobody waited for.
    answers: dict[str, Message] = field(factory=dict[str, Message])
    unexpected: list[Message] = field(factory=list[Message])
    events: list[Message] = field(factory=list[Message])
    audio: list[Audio] = field(factory=list[Audio])
    #: The requests that are not answered, by id, as they were sent.
    waiting: dict[str, str] = field(factory=dict[str, str])
    #: The texts since the last `bot-ready`, which is the first of them.
    received: int = 0
    resent: list[str] = field(factory=list[str])
    rate: int | None = None
    _ids: Any = field(factory=lambda: itertools.count(1))

    async def start(self, host: Host, body: object = None) -> None:
        """Start a session."""
        started = await host.start(body, secret=OPERATOR)
        await self._connect(host.claim(started.token), {})

    async def resume(self, host: Host, *, known: bool = True) -> None:
        """Resume the session. With `known=False`, it does so as a published client, without its fields."""
        connection = await self.claim(host)
        about = {"waiting": list(self.waiting), "received": self.received} if known else {}
        await self._connect(connection, about)

    async def claim(self, host: Host) -> Connection:
        """Start with the resume token, and return the connection."""
        return host.claim((await host.start({"resume": self.token}, secret=OPERATOR)).token)

    async def _connect(self, connection: Connection, about: dict[str, Any]) -> None:
        self.connection = connection
        if self.rate is not None:
            connection.open_audio(self.rate)
        self.tasks.start_soon(self._listen, connection)
        self.send("client-ready", {"version": "2.1.0", "about": {"library": "test"}, **about})
        await settle()

    def send(self, type: str, data: Any, *, id: str | None = None) -> str:
        """Send a message and return its id."""
        id = id or f"v{next(self._ids)}"
        text = json.dumps({"label": "rtvi-ai", "type": type, "id": id, "data": data})
        if type in ("action", "update-config", "get-config", "describe-actions"):
            self.waiting[id] = text
        self.connection.receive(text)
        return id

    def call(self, action: str, **arguments: Any) -> str:
        """Call an action, and return the id of the request."""
        service, _, name = action.partition(":")
        sent = [{"name": name, "value": value} for name, value in arguments.items()]
        return self.send("action", {"service": service, "action": name, "arguments": sent})

    async def result(self, action: str, **arguments: Any) -> Any:
        """Call an action, and return its result."""
        return await self.answer(self.call(action, **arguments))

    async def answer(self, id: str) -> Any:
        """The result that has come for an id, or the error's code."""
        await settle()
        answer = self.answers[id]
        if answer["type"] == "error-response":
            return answer["data"]["code"]
        return answer["data"].get("result", answer["data"])

    async def messages(self) -> list[Any]:
        """The messages of the context. The bot must grant `llm:get_context`."""
        found: list[Any] = (await self.result("llm:get_context"))["messages"]
        return found

    def lose(self) -> None:
        """Lose the connection."""
        self.connection.disconnected()

    def types(self) -> list[str]:
        """The types of the events that have come."""
        return [each["type"] for each in self.events]

    def text(self) -> str:
        """The LLM's text that has come."""
        return "".join(each["data"]["text"] for each in self.events if each["type"] == "bot-llm-text")

    async def _listen(self, connection: Connection) -> None:
        while batch := await connection.outgoing():
            for each in batch:
                if isinstance(each, Audio):
                    self.audio.append(each)
                elif connection is self.connection:
                    self._take(json.loads(each))

    def _take(self, message: Message) -> None:
        self.received += 1
        id = message.get("id")
        if message["type"] == "bot-ready":
            self.received, self.ready = 1, message["data"]
            self.token = message["data"]["about"].get("resume", {}).get("token", "")
        elif id is None:
            self.events.append(message)
        elif id not in self.waiting:
            self.unexpected.append(message)
        elif message["data"].get("code") == "not-received":
            self.resent.append(id)
            self.connection.receive(self.waiting[id])
        else:
            del self.waiting[id]
            self.answers[id] = message


@asynccontextmanager
async def visitor(*, rate: int | None = None) -> AsyncGenerator[Visitor]:
    """A client for one test. With a `rate`, its connections carry audio."""
    async with anyio.create_task_group() as tasks:
        found = Visitor(tasks, rate=rate)
        yield found
        await settle()
        tasks.cancel_scope.cancel()
