"""A typed RTVI client over any stream of texts.

`open_client` speaks to a bot through an `anyio.abc.ObjectStream[str]`: a WebSocket (`rtvi-plugins-client` brings
one), or memory (`rtvi_plugins.testing`). Every request resolves, or raises: the bot's refusal as the `RequestError`
of its code, a missing answer as `NoAnswer`, the end of the connection as `SessionClosed`.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, cast

import anyio
from anyio.abc import ObjectStream, TaskGroup
from attrs import define, field, frozen

from ._codec import decode, encode
from ._json import is_object
from .errors import RequestError, SessionClosed

__all__ = ("BotReady", "Client", "ConfigState", "EventMessage", "FunctionImplementation", "NoAnswer", "open_client")

#: Carries out a function that the bot's LLM calls; its result is any JSON value.
FunctionImplementation: TypeAlias = "Callable[[Mapping[str, Any]], Awaitable[Any]]"

#: Events that wait to be read. A client that reads none keeps the newest.
_EVENTS = 10_000

#: Bots send at most what fits here; a text beyond it ends the connection.
_SIZE, _DEPTH = 16 * 1024 * 1024, 200


class NoAnswer(RequestError):
    """The bot did not answer in the time the caller gave it. An answer that comes later is ignored."""

    code = "no-answer"
    status = 504
    retryable = True


@frozen
class EventMessage:
    """What the bot told without being asked: an RTVI message's type and data."""

    type: str
    data: Any


@frozen
class BotReady:
    """What the bot said of itself when the client had come."""

    version: str
    data: Mapping[str, Any]


@frozen
class ConfigState:
    """The whole config by service and option; `applies` is "now" or "next-turn" after an update."""

    values: Mapping[str, Mapping[str, Any]]
    revision: int | None = None
    applies: str | None = None

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> ConfigState:
        values = {
            entry["service"]: {option["name"]: option["value"] for option in entry["options"]}
            for entry in data["config"]
        }
        return cls(values, data.get("revision"), data.get("applies"))


@define(eq=False)
class _Waiting:
    answered: anyio.Event = field(factory=anyio.Event)
    type: str = ""
    data: Any = None


class Client:
    """A connected client. Made by `open_client`."""

    def __init__(self, stream: ObjectStream[str], timeout: float, tasks: TaskGroup) -> None:
        self.bot: BotReady
        self._stream = stream
        self._timeout = timeout
        self._tasks = tasks
        self._ids = itertools.count(1)
        self._waiting: dict[str, _Waiting] = {}
        self._functions: dict[str, FunctionImplementation] = {}
        self._events: list[EventMessage] = []
        self._heard = anyio.Event()
        self.closed = False

    # ---- asking ----------------------------------------------------------------------------------------------------

    async def request(self, type: str, data: Any, *, timeout: float | None = None) -> Any:
        """Send a message and wait for the data of its answer. `timeout` in seconds, instead of the client's."""
        id = f"{next(self._ids):08x}"
        waiting = self._waiting[id] = _Waiting()
        seconds = self._timeout if timeout is None else timeout
        try:
            # The answer may come before `send` returns, so it is waited for from here on.
            with anyio.move_on_after(seconds):
                await self._send(type, id, data)
                await waiting.answered.wait()
        finally:
            del self._waiting[id]
        if not waiting.answered.is_set():
            raise NoAnswer(f"The bot did not answer {type!r} within {seconds:g} s.")
        if waiting.type == "error-response":
            raise RequestError.from_json(waiting.data)
        return waiting.data

    async def _send(self, type: str, id: str, data: Any) -> None:
        if self.closed:
            raise SessionClosed("The connection to the bot is closed.")
        try:
            await self._stream.send(encode(type, id, data))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise SessionClosed("The connection to the bot is closed.") from None

    async def action(
        self, name: str, arguments: Mapping[str, Any] | None = None, /, *, timeout: float | None = None, **more: Any
    ) -> Any:
        """Call an action, `"tts:say"`, with its arguments by name; returns its result."""
        service, _, action = name.partition(":")
        sent = [{"name": name, "value": value} for name, value in {**(arguments or {}), **more}.items()]
        data = {"service": service, "action": action, "arguments": sent}
        return (await self.request("action", data, timeout=timeout))["result"]

    async def describe_actions(self) -> list[dict[str, Any]]:
        """The actions that this client may call, each as `{service, action, arguments, result, …}`."""
        return cast("list[dict[str, Any]]", (await self.request("describe-actions", {}))["actions"])

    async def describe_config(self) -> list[dict[str, Any]]:
        """The services, each as `{name, options: [{name, type, default, writable, …}]}`."""
        return cast("list[dict[str, Any]]", (await self.request("describe-config", {}))["config"])

    async def get_config(self) -> ConfigState:
        """The options' values."""
        return ConfigState.read(await self.request("get-config", {}))

    async def update_config(
        self, values: Mapping[str, Mapping[str, Any]], *, interrupt: bool = False, timeout: float | None = None
    ) -> ConfigState:
        """Change options, by service and name: all of them, or none and an error that lists what is wrong."""
        config = [
            {"service": service, "options": [{"name": name, "value": value} for name, value in options.items()]}
            for service, options in values.items()
        ]
        data = {"config": config, "interrupt": interrupt}
        return ConfigState.read(await self.request("update-config", data, timeout=timeout))

    async def send_text(self, text: str, *, run_immediately: bool = True, audio_response: bool = True) -> None:
        """Say something to the bot by writing. A refusal comes as an event of type `error-response`."""
        options = {"run_immediately": run_immediately, "audio_response": audio_response}
        await self._send("send-text", f"{next(self._ids):08x}", {"content": text, "options": options})

    async def disconnect_bot(self) -> None:
        """Ask the bot to leave."""
        await self._send("disconnect-bot", f"{next(self._ids):08x}", {})

    def carry_out(self, name: str, implementation: FunctionImplementation) -> None:
        """Carry out the function of this name whenever the bot's LLM calls it."""
        self._functions[name] = implementation

    # ---- hearing ---------------------------------------------------------------------------------------------------

    async def events(self) -> AsyncIterator[EventMessage]:
        """What the bot tells without being asked, until the connection ends. Each event is given once."""
        while True:
            while self._events:
                yield self._events.pop(0)
            if self.closed:
                return
            self._heard = anyio.Event()
            await self._heard.wait()

    async def listen(self) -> None:
        """Take in what the bot sends, until the connection ends; `open_client` runs this."""
        try:
            async for text in self._stream:
                self._take(decode(text, size=_SIZE, depth=_DEPTH))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        finally:
            self._end()

    def _take(self, message: Mapping[str, Any]) -> None:
        type, data = str(message.get("type")), message.get("data")
        waiting = self._waiting.get(str(message.get("id")))
        if waiting is not None:
            waiting.type, waiting.data = type, data
            waiting.answered.set()
            return
        if type == "llm-function-call-in-progress" and is_object(data) and data.get("function_name") in self._functions:
            self._tasks.start_soon(self._carry_out, data)
        self._events.append(EventMessage(type, data))
        del self._events[:-_EVENTS]
        self._heard.set()

    async def _carry_out(self, call: Mapping[str, Any]) -> None:
        arguments: Mapping[str, Any] = call.get("arguments") or {}
        try:
            result = await self._functions[call["function_name"]](arguments)
        except Exception as error:
            result = {"error": f"the function failed: {type(error).__name__}"}
        told = {
            "function_name": call["function_name"],
            "tool_call_id": call["tool_call_id"],
            "arguments": arguments,
            "result": result,
        }
        if not self.closed:
            await self._send("llm-function-call-result", f"{next(self._ids):08x}", told)

    def _end(self) -> None:
        """Nobody is left waiting."""
        self.closed = True
        gone = SessionClosed("The connection ended before the bot had answered.").to_json()
        for waiting in self._waiting.values():
            if not waiting.answered.is_set():
                waiting.type, waiting.data = "error-response", gone
                waiting.answered.set()
        self._heard.set()


@asynccontextmanager
async def open_client(
    stream: ObjectStream[str],
    *,
    version: str = "2.1.0",
    about: Mapping[str, Any] | None = None,
    timeout: float = 10.0,
) -> AsyncGenerator[Client]:
    """Introduce a client to the bot at the other end of a stream, and wait until the bot is ready.

    `timeout` in seconds is how long each request waits for its answer, this first one included.
    """
    async with anyio.create_task_group() as tasks:
        client = Client(stream, timeout, tasks)
        tasks.start_soon(client.listen)
        try:
            told = {"version": version, "about": {"library": "rtvi_plugins", **(about or {})}}
            data = await client.request("client-ready", told)
            client.bot = BotReady(str(data.get("version")), data)
            yield client
        finally:
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await stream.aclose()
