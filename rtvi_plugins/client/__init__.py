"""A typed RTVI client over any stream of texts.

`open_client` connects to a bot through an `anyio.abc.ObjectStream[str]`: a WebSocket (of `rtvi-plugins-client`), or
memory (of `rtvi_plugins.testing`). Every request returns or raises: a refusal raises the `RequestError` of its code, a
missing answer `NoAnswer`, and the end of the connection `SessionClosed`.

With `reconnect`, the client resumes its session when the connection is lost, if the bot offers that: requests then wait
for their answers until it is back. Then lost messages are sent again, and newer ones after them. Of the messages that
nobody answers, such as a text of the user, the last 32 are kept for this.

Answers are recognised by their ids, which begin with `request-` and a random text. A second answer, and an answer to a
request that was cancelled, are dropped. If the bot refuses a message that has no answer, the refusal is an event. A
text that is not an RTVI message is dropped, as in the published clients.

The module has more than 300 lines because the client is one class: all its requests share their ids and the connection.
"""

from __future__ import annotations

import itertools
import logging
import secrets
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from operator import itemgetter
from typing import Any, Self, TypeVar
from weakref import WeakValueDictionary

import anyio
from anyio.abc import ObjectStream, TaskGroup
from attrs import define, field

from ..errors import NotReceived, RequestError, SessionClosed
from ..protocol.codec import LABEL, decode, encode
from ..utils.json_values import is_object
from ..utils.waiting import Iteration
from .answers import AnswerInterrupted, BotAnswer, BotReady, ConfigState, EventMessage, InvalidAnswer, NoAnswer
from .functions import FunctionImplementation, Functions, OtherFunctions
from .resuming import DELAY, Reconnect, Resumption

__all__ = (
    "AnswerInterrupted",
    "BotAnswer",
    "BotReady",
    "Client",
    "ConfigState",
    "EventMessage",
    "FunctionImplementation",
    "InvalidAnswer",
    "NoAnswer",
    "OtherFunctions",
    "Reconnect",
    "open_client",
)

_log = logging.getLogger("rtvi_plugins")

Answer = TypeVar("Answer")

#: How many events wait to be read. Of more, the newest are kept.
_MOST_EVENTS = 10_000

#: How many messages without an answer are kept, to be sent again if they have not arrived. The bot knows of at least as
#: many that they have arrived.
_MOST_UNANSWERED = 32

#: The longest text that is read, in characters, and the deepest nesting.
_LONGEST_TEXT, _DEEPEST = 16 * 1024 * 1024, 200


@define(eq=False)
class _PendingRequest:
    text: str
    answered: anyio.Event = field(factory=anyio.Event)
    type: str = ""
    data: Any = None
    #: Whether the text was sent, on this connection or an earlier one. Otherwise it waits for the connection.
    sent: bool = False
    #: How many messages without an answer were sent before it: they have arrived if it is answered. Ids do not tell the
    #: order, because `ask` makes its id before it sends.
    sent_before: int = 0


class Client:
    """A connected client. Made by `open_client`."""

    def __init__(
        self,
        stream: ObjectStream[str],
        timeout: float,
        tasks: TaskGroup,
        reconnect: Reconnect | None = None,
        delay: float = DELAY,
    ) -> None:
        self.bot: BotReady
        self._stream = stream
        self._timeout = timeout
        self._ids = itertools.count(1)
        # Random, so that a client that resumes the session of another one gets none of its answers.
        name = secrets.token_hex(4)
        self._prefix, self._message_prefix = f"request-{name}-", f"message-{name}-"
        self._resumption = Resumption(reconnect, delay)
        #: The texts that the bot asks for again.
        self._texts_to_repeat: list[str] = []
        #: The last messages without an answer that may not have arrived, by id, each with its number.
        self._unanswered: dict[str, tuple[int, str]] = {}
        self._unanswered_count = 0
        self._pending: dict[str, _PendingRequest] = {}
        self._functions = Functions(tasks, self._send_unanswered)
        self._events: deque[EventMessage] = deque(maxlen=_MOST_EVENTS)
        #: The answers that are awaited, by the id of the text.
        self._answers: WeakValueDictionary[str, BotAnswer] = WeakValueDictionary()
        self._changed = anyio.Event()
        self.closed = False

    @classmethod
    @asynccontextmanager
    async def connected(
        cls,
        stream: ObjectStream[str],
        *,
        version: str = "2.1.0",
        about: Mapping[str, Any] | None = None,
        timeout: float = 10.0,
        reconnect: Reconnect | None = None,
        delay: float = DELAY,
    ) -> AsyncGenerator[Self]:
        """Connect a client of this class, as `open_client` does."""
        failed: Exception | None = None
        async with anyio.create_task_group() as tasks:
            client = cls(stream, timeout, tasks, reconnect, delay)
            tasks.start_soon(client.listen)
            try:
                await client.introduce(version, about or {})
                yield client
            except Exception as error:
                failed = error
            finally:
                tasks.cancel_scope.cancel()
                with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                    await client.aclose()
        if failed is not None:
            raise failed

    # ---- requests ---------------------------------------------------------------------------------------------------

    async def introduce(self, version: str, about: Mapping[str, Any]) -> None:
        """Send `client-ready`, and wait until the bot is ready. `open_client` does this."""
        self._introduction = {"version": version, "about": {"library": "rtvi_plugins", **about}}
        self.bot = await self._answer_to("client-ready", self._introduction, BotReady.read)

    async def request(self, type: str, data: Any, *, timeout: float | None = None) -> Any:
        """Send a message and return the data of its answer. `timeout` in seconds replaces the client's."""
        id = f"{self._prefix}{next(self._ids)}"
        waiting = self._pending[id] = _PendingRequest(encode(type, id, data))
        seconds = self._timeout if timeout is None else timeout
        try:
            # The answer may come before `send` returns.
            with anyio.move_on_after(seconds):
                await self._send_request(waiting)
                await waiting.answered.wait()
        finally:
            del self._pending[id]
        if not waiting.answered.is_set():
            raise NoAnswer(f"The bot did not answer {type!r} within {seconds:g} s.")
        if waiting.type == "error-response":
            raise RequestError.from_json(waiting.data)
        return waiting.data

    async def _answer_to(
        self, type: str, data: Any, read: Callable[[Any], Answer], *, timeout: float | None = None
    ) -> Answer:
        answer = await self.request(type, data, timeout=timeout)
        try:
            return read(answer)
        except (KeyError, TypeError, AttributeError):
            raise InvalidAnswer(f"The bot answered {type!r} with something that is not an answer to it.") from None

    async def _send_request(self, waiting: _PendingRequest) -> None:
        """Send a request. If the connection is lost, it is sent on the next one."""
        await self._resumption.wait()
        waiting.sent, waiting.sent_before = True, self._unanswered_count
        await self._send_or_repeat(waiting.text)

    async def _send_or_repeat(self, text: str) -> None:
        """Send a text that is sent again on the next connection if it does not arrive on this one."""
        try:
            await self._send(text)
        except SessionClosed:
            if self.closed or not self._resumption.is_possible:
                raise

    async def _send_unanswered(self, type: str, data: Any, *, id: str | None = None) -> None:
        """Send a message that is answered only if it fails."""
        with anyio.move_on_after(self._timeout) as waiting:
            await self._resumption.wait()
        if waiting.cancelled_caught:
            raise NoAnswer(f"The connection to the bot was lost, and did not come back within {self._timeout:g} s.")
        id = id or self._message_id()
        text = encode(type, id, data)
        self._unanswered_count += 1
        self._unanswered[id] = self._unanswered_count, text
        if len(self._unanswered) > _MOST_UNANSWERED:
            del self._unanswered[next(iter(self._unanswered))]
        await self._send_or_repeat(text)

    def _message_id(self) -> str:
        return f"{self._message_prefix}{next(self._ids)}"

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
        """Call an action, as in `action("tts:say", text="Hello")`, and return its result.

        An argument that is named `timeout` is sent in the mapping: `action("bot:wait", {"timeout": 3.0})`. Raise
        `ValueError` for a name that is not `service:action`, and `TypeError` for arguments that are not a mapping.
        """
        service, _, action = name.partition(":")
        if not (service and action):
            raise ValueError(f"Write the service and the action, as in action('tts:say'), not {name!r}.")
        if not _are_mappings(arguments or {}):
            raise TypeError(f"Write the arguments by name, as in action({name!r}, nights=2), not {arguments!r}.")
        sent = [{"name": name, "value": value} for name, value in {**(arguments or {}), **more}.items()]
        data = {"service": service, "action": action, "arguments": sent}
        return await self._answer_to("action", data, itemgetter("result"), timeout=timeout)

    async def describe_actions(self) -> list[dict[str, Any]]:
        """Return the actions that this client may call, each as `{service, action, arguments, result, …}`."""
        return await self._answer_to("describe-actions", {}, itemgetter("actions"))

    async def describe_config(self) -> list[dict[str, Any]]:
        """Return the services, each as `{name, options: [{name, type, default, writable, …}]}`."""
        return await self._answer_to("describe-config", {}, itemgetter("config"))

    async def get_config(self) -> ConfigState:
        """Return the values of the options."""
        return await self._answer_to("get-config", {}, ConfigState.read)

    async def update_config(
        self, values: Mapping[str, Mapping[str, Any]], *, interrupt: bool = False, timeout: float | None = None
    ) -> ConfigState:
        """Change options, by service and name. If one is invalid, none changes, and the error lists all problems.

        Raise `TypeError` for values that are not mappings.
        """
        if not _are_mappings(values) or not _are_mappings(*values.values()):
            raise TypeError("Write the options by service, as in update_config({'llm': {'model': 'small'}}).")
        config = [
            {"service": service, "options": [{"name": name, "value": value} for name, value in options.items()]}
            for service, options in values.items()
        ]
        data = {"config": config, "interrupt": interrupt}
        return await self._answer_to("update-config", data, ConfigState.read, timeout=timeout)

    async def send_text(self, text: str, *, run_immediately: bool = True, audio_response: bool = True) -> None:
        """Send text of the user, without waiting for the answer. A refusal is an event of type `error-response`.

        If the connection is lost and `reconnect` is set, wait for the next one, at most the client's `timeout` in
        seconds, then raise `NoAnswer`. A text that was lost with its connection is sent again, before newer ones. Raise
        `SessionClosed` if the connection has ended.
        """
        await self._write(text, self._message_id(), run_immediately=run_immediately, audio_response=audio_response)

    async def _write(self, text: str, id: str, **options: bool) -> None:
        await self._send_unanswered("send-text", {"content": text, "options": options}, id=id)

    def ask(self, text: str, *, audio_response: bool = True, timeout: float = 60.0) -> BotAnswer:
        """Send text of the user, and return the bot's answer: await it, or iterate over its pieces.

        Like every text it interrupts the bot. `timeout` is how long the bot may send nothing, in seconds. The bot must
        send `user-llm-text`, as `converse` does. For errors see `BotAnswer`, and for a lost connection `send_text`.
        """
        id = self._message_id()

        async def send() -> None:
            if not self.closed:
                self._answers[id] = answer
            await self._write(text, id, run_immediately=True, audio_response=audio_response)

        answer = BotAnswer(text, send, timeout, announces_end=self._bot_announces_end)
        return answer

    @property
    def _bot_announces_end(self) -> bool:
        """Whether the bot sends `bot-turn-ended`: ours does, unless it answers with a version before 1.0."""
        about = self.bot.data.get("about")
        is_ours = is_object(about) and about.get("library") == "rtvi_plugins"
        return is_ours and not self.bot.version.startswith("0.")

    async def disconnect_bot(self) -> None:
        """End the session. Wait for a lost connection, and raise, as `send_text` does."""
        await self._send_unanswered("disconnect-bot", {})

    def register_function(self, name: str, implementation: FunctionImplementation) -> None:
        """Call `implementation` whenever the bot's LLM calls the function of this name.

        If it raises, the LLM reads only the name of the exception. If the bot cancels the call, it is cancelled.
        """
        self._functions.by_name[name] = implementation

    def register_other_functions(self, implementation: OtherFunctions) -> None:
        """Call `implementation` for all functions that are not registered. Without it, such calls get no answer."""
        self._functions.others = implementation

    # ---- events ----------------------------------------------------------------------------------------------------

    def events(self) -> AsyncIterator[EventMessage]:
        """Iterate over the messages that answer no request, until the connection ends. Each is yielded once."""
        return Iteration(self._next_event)

    async def wait_for(self, type: str, *, timeout: float = 10.0) -> EventMessage:
        """Return the next event of a type; the events before it are skipped, and `events` does not yield them.

        Raise `NoAnswer` if none comes within `timeout` seconds, `SessionClosed` if the connection ends before.
        """
        skipped = dict[str, None]()
        with anyio.move_on_after(timeout):
            async for event in self.events():
                if event.type == type:
                    return event
                skipped[event.type] = None
            raise SessionClosed(f"The connection ended before an event {type!r} came.{_skipped_sentence(skipped)}")
        raise NoAnswer(f"No event {type!r} came within {timeout:g} s.{_skipped_sentence(skipped)}")

    async def _next_event(self) -> EventMessage:
        while not self._events:
            if self.closed:
                raise StopAsyncIteration
            if self._changed.is_set():
                self._changed = anyio.Event()
            await self._changed.wait()
        return self._events.popleft()

    async def listen(self) -> None:
        """Receive what the bot sends, until the connection ends. `open_client` runs this."""
        try:
            while True:
                try:
                    async for text in self._stream:
                        self._take_message(text)
                        while self._texts_to_repeat:
                            await self._send(self._texts_to_repeat.pop(0))
                    return  # the bot has ended the session
                except (anyio.BrokenResourceError, anyio.ClosedResourceError, SessionClosed):
                    self._resumption.lost()
                    if not await self._come_back():
                        return
        finally:
            self._end()

    async def _come_back(self) -> bool:
        """Resume the session on a new connection. Return False if it cannot be resumed."""
        stream = await self._resumption.come_back()
        if stream is None:
            return False
        self._stream, self._texts_to_repeat = stream, []
        sent = {id: number for id, (number, _) in self._unanswered.items()}
        sent |= {id: each.sent_before for id, each in self._pending.items() if each.sent}
        # A late answer to it is dropped, because it has the prefix of requests.
        mark = f"{self._prefix}{next(self._ids)}"
        known = self._resumption.introduction(sorted(sent, key=sent.__getitem__), mark)
        # If this connection is lost as well, the next one is tried.
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await stream.send(encode("client-ready", self._message_id(), {**self._introduction, **known}))
        return True

    async def aclose(self) -> None:
        """Close the connection. Leaving the block of `open_client` does this."""
        await self._stream.aclose()

    def _take_message(self, text: str) -> None:
        try:
            message = decode(text, size=_LONGEST_TEXT, depth=_DEEPEST)
        except RequestError as error:
            _log.warning("the bot sent a text that is not an RTVI message: %s", error.code)
            return
        if message.get("label") != LABEL:
            return
        type, id, data = str(message.get("type")), message.get("id"), message.get("data")
        self._resumption.received += 1
        if type == "bot-ready":
            if self._resumption.ready(data):
                for answer in self._answers.values():
                    answer.start_over()
        elif id == self._resumption.mark and _is_not_received(type, data):
            self._resumption.connected.set()  # all lost messages have been sent again
        if isinstance(id, str) and id.startswith(self._prefix):
            return self._answer(id, type, data)
        if id in self._unanswered:
            if _is_not_received(type, data):
                self._texts_to_repeat.append(self._unanswered[id][1])
                return None
            del self._unanswered[id]  # it was refused
        self._functions.follow(type, data)
        event = EventMessage(type, data)
        self._events.append(event)
        self._changed.set()
        if type == "error-response" and isinstance(id, str) and id in self._answers:
            self._answers[id].fail(RequestError.from_json(data))
        begun = False
        for answer in list(self._answers.values()):
            begun |= answer.take(event, may_begin=not begun)

    def _answer(self, id: str, type: str, data: Any) -> None:
        waiting = self._pending.get(id)
        if waiting is not None and not waiting.answered.is_set():
            if _is_not_received(type, data) and self._resumption.is_possible:
                self._texts_to_repeat.append(waiting.text)
                return
            waiting.type, waiting.data = type, data
            waiting.answered.set()
            arrived = [id for id, (number, _) in self._unanswered.items() if number <= waiting.sent_before]
            for each in arrived:
                del self._unanswered[each]

    def _end(self) -> None:
        """Answer every pending request: the connection has ended."""
        self.closed = True
        self._resumption.connected.set()  # what waits for a connection finds that there is none
        gone = SessionClosed("The connection ended before the bot had answered.").to_json()
        for id in self._pending:
            self._answer(id, "error-response", gone)
        for answer in list(self._answers.values()):
            answer.closed()
        self._changed.set()


def _is_not_received(type: str, data: Any) -> bool:
    return type == "error-response" and is_object(data) and data.get("code") == NotReceived.code


def _are_mappings(*values: object) -> bool:
    return all(isinstance(each, Mapping) for each in values)


def _skipped_sentence(skipped: Iterable[str]) -> str:
    """Return a sentence that lists the types of the events that were skipped."""
    return f" These came: {', '.join(skipped)}." if skipped else " No other came."


@asynccontextmanager
async def open_client(
    stream: ObjectStream[str],
    *,
    version: str = "2.1.0",
    about: Mapping[str, Any] | None = None,
    timeout: float = 10.0,
    reconnect: Reconnect | None = None,
    delay: float = DELAY,
) -> AsyncGenerator[Client]:
    """Connect a client to the bot at the other end of a stream, and wait until the bot is ready.

    Each request waits `timeout` seconds for its answer, the first one included. The stream is closed at the end. An
    exception in the block is raised unchanged, not in an exception group.

    `reconnect` makes a new connection with a resume token, for a session whose connection was lost: when the stream
    raises, not when it ends. It is called after a random delay of at most `delay` seconds, and again if its error is
    retryable.
    """
    connecting = Client.connected(
        stream, version=version, about=about, timeout=timeout, reconnect=reconnect, delay=delay
    )
    async with connecting as client:
        yield client
