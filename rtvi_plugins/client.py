"""A typed RTVI client over any stream of texts.

`open_client` speaks to a bot through an `anyio.abc.ObjectStream[str]`: a WebSocket (`rtvi-plugins-client` brings
one), or memory (`rtvi_plugins.testing`). Every request resolves, or raises: the bot's refusal as the `RequestError`
of its code, a missing answer as `NoAnswer`, the end of the connection as `SessionClosed`.

Answers are told from events by their id: the ids of requests begin with `request-`, those of messages that nobody
waits for do not. An answer that comes when its request has been given up, or a second one, is dropped; a refusal of
what nobody waits for is an event. A text that is no RTVI message is dropped too, as the published clients do.
"""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from operator import itemgetter
from typing import Any, TypeVar

import anyio
from anyio.abc import ObjectStream, TaskGroup
from attrs import define, field, frozen

from ._functions import FunctionImplementation, Functions, OtherFunctions
from .errors import RequestError, SessionClosed
from .protocol.codec import LABEL, decode, encode

__all__ = (
    "BotReady",
    "Client",
    "ConfigState",
    "EventMessage",
    "FunctionImplementation",
    "InvalidAnswer",
    "NoAnswer",
    "OtherFunctions",
    "open_client",
)

_log = logging.getLogger("rtvi_plugins")

Answer = TypeVar("Answer")

#: What the ids of requests begin with.
_REQUEST = "request-"

#: Events that wait to be read. A client that reads none keeps the newest.
_EVENTS = 10_000

#: A text that is longer (in characters), or nests deeper, is not read.
_SIZE, _DEPTH = 16 * 1024 * 1024, 200


class NoAnswer(RequestError):
    """The bot did not answer in the time the caller gave it. An answer that comes later is dropped."""

    code = "no-answer"
    status = 504
    retryable = True


class InvalidAnswer(RequestError):
    """The bot answered with something else than the protocol says."""

    code = "invalid-answer"
    status = 502


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

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> BotReady:
        return cls(str(data.get("version")), data)


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


@frozen
class _Events:
    """An iterator that may be left at any time; trio wants an async generator to be closed."""

    take: Callable[[], Awaitable[EventMessage | None]]

    def __aiter__(self) -> _Events:
        return self

    async def __anext__(self) -> EventMessage:
        event = await self.take()
        if event is None:
            raise StopAsyncIteration
        return event


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
        self._ids = itertools.count(1)
        self._waiting: dict[str, _Waiting] = {}
        self._functions = Functions(tasks, self._say)
        self._events: deque[EventMessage] = deque(maxlen=_EVENTS)
        self._heard = anyio.Event()
        self.closed = False

    # ---- asking ----------------------------------------------------------------------------------------------------

    async def introduce(self, version: str, about: Mapping[str, Any]) -> None:
        """Tell the bot who this is, and wait until it is ready; `open_client` does this."""
        told = {"version": version, "about": {"library": "rtvi_plugins", **about}}
        self.bot = await self._ask("client-ready", told, BotReady.read)

    async def request(self, type: str, data: Any, *, timeout: float | None = None) -> Any:
        """Send a message and wait for the data of its answer. `timeout` in seconds, instead of the client's."""
        id = f"{_REQUEST}{next(self._ids)}"
        waiting = self._waiting[id] = _Waiting()
        seconds = self._timeout if timeout is None else timeout
        try:
            # The answer may come before `send` returns, so it is waited for from here on.
            with anyio.move_on_after(seconds):
                await self._send(encode(type, id, data))
                await waiting.answered.wait()
        finally:
            del self._waiting[id]
        if not waiting.answered.is_set():
            raise NoAnswer(f"The bot did not answer {type!r} within {seconds:g} s.")
        if waiting.type == "error-response":
            raise RequestError.from_json(waiting.data)
        return waiting.data

    async def _ask(
        self, type: str, data: Any, read: Callable[[Any], Answer], *, timeout: float | None = None
    ) -> Answer:
        answer = await self.request(type, data, timeout=timeout)
        try:
            return read(answer)
        except (KeyError, TypeError, AttributeError):
            raise InvalidAnswer(f"The bot answered {type!r} with something that is no answer to it.") from None

    async def _say(self, type: str, data: Any) -> None:
        """Send a message that is not answered when all goes well."""
        await self._send(encode(type, f"message-{next(self._ids)}", data))

    async def _send(self, text: str) -> None:
        if self.closed:
            raise SessionClosed("The connection to the bot is closed.")
        try:
            await self._stream.send(text)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise SessionClosed("The connection to the bot is closed.") from None

    async def action(
        self, name: str, arguments: Mapping[str, Any] | None = None, /, *, timeout: float | None = None, **more: Any
    ) -> Any:
        """Call an action, `"tts:say"`, with its arguments by name; returns its result."""
        service, _, action = name.partition(":")
        sent = [{"name": name, "value": value} for name, value in {**(arguments or {}), **more}.items()]
        data = {"service": service, "action": action, "arguments": sent}
        return await self._ask("action", data, itemgetter("result"), timeout=timeout)

    async def describe_actions(self) -> list[dict[str, Any]]:
        """The actions that this client may call, each as `{service, action, arguments, result, …}`."""
        return await self._ask("describe-actions", {}, itemgetter("actions"))

    async def describe_config(self) -> list[dict[str, Any]]:
        """The services, each as `{name, options: [{name, type, default, writable, …}]}`."""
        return await self._ask("describe-config", {}, itemgetter("config"))

    async def get_config(self) -> ConfigState:
        """The options' values."""
        return await self._ask("get-config", {}, ConfigState.read)

    async def update_config(
        self, values: Mapping[str, Mapping[str, Any]], *, interrupt: bool = False, timeout: float | None = None
    ) -> ConfigState:
        """Change options, by service and name: all of them, or none and an error that lists what is wrong."""
        config = [
            {"service": service, "options": [{"name": name, "value": value} for name, value in options.items()]}
            for service, options in values.items()
        ]
        data = {"config": config, "interrupt": interrupt}
        return await self._ask("update-config", data, ConfigState.read, timeout=timeout)

    async def send_text(self, text: str, *, run_immediately: bool = True, audio_response: bool = True) -> None:
        """Say something to the bot by writing. A refusal comes as an event of type `error-response`."""
        options = {"run_immediately": run_immediately, "audio_response": audio_response}
        await self._say("send-text", {"content": text, "options": options})

    async def disconnect_bot(self) -> None:
        """Ask the bot to leave."""
        await self._say("disconnect-bot", {})

    def carry_out(self, name: str, implementation: FunctionImplementation) -> None:
        """Carry out the function of this name whenever the bot's LLM calls it, once for each call.

        What it raises is told to the LLM by the exception's name only. It is cancelled when the bot gives the call up.
        """
        self._functions.by_name[name] = implementation

    def carry_out_others(self, implementation: OtherFunctions) -> None:
        """Carry out every function that has no implementation of its own. Without this, nobody answers such a call."""
        self._functions.others = implementation

    # ---- hearing ---------------------------------------------------------------------------------------------------

    def events(self) -> AsyncIterator[EventMessage]:
        """What the bot tells without being asked, until the connection ends. Each event is given once."""
        return _Events(self._next_event)

    async def _next_event(self) -> EventMessage | None:
        while not self._events:
            if self.closed:
                return None
            if self._heard.is_set():
                self._heard = anyio.Event()
            await self._heard.wait()
        return self._events.popleft()

    async def listen(self) -> None:
        """Take in what the bot sends, until the connection ends; `open_client` runs this."""
        try:
            async for text in self._stream:
                self._take(text)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        finally:
            self._end()

    def _take(self, text: str) -> None:
        try:
            message = decode(text, size=_SIZE, depth=_DEPTH)
        except RequestError as error:
            _log.warning("the bot sent what is no RTVI message: %s", error.code)
            return
        if message.get("label") != LABEL:
            return
        type, id, data = str(message.get("type")), message.get("id"), message.get("data")
        if isinstance(id, str) and id.startswith(_REQUEST):
            return self._answer(id, type, data)
        self._functions.follow(type, data)
        self._events.append(EventMessage(type, data))
        self._heard.set()

    def _answer(self, id: str, type: str, data: Any) -> None:
        waiting = self._waiting.get(id)
        if waiting is not None and not waiting.answered.is_set():
            waiting.type, waiting.data = type, data
            waiting.answered.set()

    def _end(self) -> None:
        """Nobody is left waiting."""
        self.closed = True
        gone = SessionClosed("The connection ended before the bot had answered.").to_json()
        for id in self._waiting:
            self._answer(id, "error-response", gone)
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

    `timeout` in seconds is how long each request waits for its answer, this first one included. The stream is closed
    at the end. What is raised inside comes out as it is, not in an exception group.
    """
    failed: Exception | None = None
    async with anyio.create_task_group() as tasks:
        client = Client(stream, timeout, tasks)
        tasks.start_soon(client.listen)
        try:
            await client.introduce(version, about or {})
            yield client
        except Exception as error:
            failed = error
        finally:
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await stream.aclose()
    if failed is not None:
        raise failed
