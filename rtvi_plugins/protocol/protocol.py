"""The RTVI protocol without I/O: a text comes in, and what is to be done about it comes out.

Whatever a client sends, `receive` returns and never raises: the answer, or a command for the runner. A request stays
in `pending` until `settle` takes it out, and only what takes it out may answer it; that is how each is answered once.
Facts about clients are from the published packages; where they differ by generation, the version that
`client-ready` brought decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from attrs import define, frozen

from ..errors import (
    Busy,
    InvalidArguments,
    InvalidMessage,
    InvalidResult,
    NotGranted,
    Problem,
    RateLimited,
    RequestError,
    UnknownMessage,
    unknown,
)
from ..limits import Limits
from ..registry.registry import BOT
from ..session import ClientInfo, UserText
from ..utils.json_values import clip, expected, is_object
from .codec import LABEL, decode, encode, encode_json, encode_spliced
from .config import Config
from .message_id import refused_id
from .offer import Offer, OfferedAction
from .rate import Rate, answer_units, text_units

__all__ = (
    "Call",
    "Command",
    "Conversation",
    "Disconnect",
    "Feed",
    "FunctionResult",
    "Ready",
    "Reply",
    "Request",
    "Update",
)

# Where a client before 1.0, or one after it, says what action it means, and the arguments.
_ACTION_PATHS = (("$.data", "$.data.arguments"), ("$.data.d", "$.data.d.arguments"))

#: What a bot says it speaks to a client of its own generation or a later one.
VERSION = (2, 1, 0)


@define(eq=False)
class Request:
    """A message that waits for its answer. `t` is the type inside a client message, for clients of 1.0 and later."""

    id: str
    type: str
    t: str | None = None
    due: float = 0.0
    #: What carries it out, once it runs; the runner's.
    job: Any = None


@frozen
class Reply:
    """The answer is known: send it."""

    text: str


@frozen
class Ready:
    """The client is ready; `text` tells it that the bot is."""

    client: ClientInfo
    text: str


@define(eq=False)
class Call:
    """Run an action."""

    request: Request
    action: OfferedAction
    arguments: dict[str, Any]


@frozen(eq=False)
class Update:
    """Change the config. It is checked when its turn comes, against what is in force then."""

    request: Request
    sent: Any
    interrupt: bool
    path: str


@frozen
class Feed:
    """The user wrote something."""

    id: str
    input: UserText


@frozen
class FunctionResult:
    """The client has carried out a function."""

    id: str
    call: str
    result: Any


@frozen
class Disconnect:
    """The client asks the bot to leave."""


Command: TypeAlias = "Reply | Ready | Call | Update | Feed | FunctionResult | Disconnect"


class Conversation:
    """The state of the protocol in one session."""

    def __init__(self, offer: Offer, config: Config, limits: Limits, now: float) -> None:
        self.offer = offer
        self.client = ClientInfo()
        self.ready = False
        self.pending: dict[str, Request] = {}
        self._config = config
        self._limits = limits
        self.rate, self._now = Rate(limits, now), now
        self._waiting: list[tuple[Request, dict[str, Any]]] = []

    # ---- in --------------------------------------------------------------------------------------------------------

    def receive(self, text: str, now: float) -> Command | None:
        """What is to be done about a text; None where nothing is, as for a repeated id that is being answered."""
        id: str | None = None
        self._now = now
        try:
            if not self.rate.take(text_units(text), now):
                raise RateLimited("Messages come too fast, or are too large for how fast they come; send fewer.")
            message = decode(text, size=self._limits.message_size, depth=self._limits.nesting)
            id = _usable(message.get("id"))
            type = self._type(message, id)
            if id in self.pending and (self.ready or type != "client-ready"):
                return None
            if self.ready or type == "client-ready":
                command = _READERS[type](self, Request(id, type), message.get("data"))
                if isinstance(command, Reply):
                    self.rate.add(answer_units(len(command.text)))
                return command
            self._wait(Request(id, type), message)
            return None
        except RequestError as error:
            if id is None:  # refused before it was parsed, or because it cannot be
                id = _usable(refused_id(text))
            if not isinstance(error, RateLimited):
                self.rate.add_problems(len(error.problems))
            if id in self.pending:  # it is answered when the one that waits under it is
                return None
            return Reply(encode("error-response", id, error.to_json()))

    def _type(self, message: Mapping[str, Any], id: str) -> str:
        if message.get("label") != LABEL:
            raise InvalidMessage(
                f'A message carries "label": "{LABEL}"; this one has {clip(repr(message.get("label")))}.'
            )
        type = message.get("type")
        if not isinstance(type, str):
            raise InvalidMessage("A message has a type that is a string.")
        if not id:
            raise InvalidMessage("A message has an id that is a string of 1 to 256 characters.")
        if type not in _READERS:
            raise UnknownMessage([unknown("message type", type, _READERS, path="$.type")])
        return type

    def _wait(self, request: Request, message: dict[str, Any]) -> None:
        """Keep a message until the client says it is ready; what is a request can be answered in the meantime."""
        if len(self._waiting) >= self._limits.in_flight:
            raise self._busy()
        self._waiting.append((request, message))
        if request.type in _REQUESTS:
            self._open(request)

    def release(self) -> Iterator[Command]:
        """What is to be done about the messages that came before the client was ready, one after the other."""
        waiting, self._waiting = self._waiting, []
        for request, message in waiting:
            if request.type in _REQUESTS and not self.settle(request):
                continue
            try:
                command = _READERS[request.type](self, request, message.get("data"))
            except RequestError as error:
                if request.id in self.pending:  # the id belongs to the request that waits under it
                    continue
                command = Reply(encode("error-response", request.id, error.to_json()))
            if command is not None:
                yield command

    # ---- out -------------------------------------------------------------------------------------------------------

    def waits(self, request: Request) -> bool:
        """Whether a request still waits for its answer."""
        return self.pending.get(request.id) is request

    def settle(self, request: Request) -> bool:
        """Take a request out of those that wait; False if it was answered already."""
        if not self.waits(request):
            return False
        del self.pending[request.id]
        return True

    def result(self, request: Request, result: Any) -> str:
        """The answer with an action's result. `TypeError` when JSON cannot carry it, `InvalidResult` if too long."""
        if request.t is not None:
            return self._fitting(encode("server-response", request.id, {"t": request.t, "d": result}))
        return self._fitting(encode("action-response", request.id, {"result": result}))

    def _fitting(self, text: str) -> str:
        """Return a text if it can be sent. One that is longer than the outbox would end the session."""
        longest = self._limits.outbox_size
        if len(text) > longest:
            raise InvalidResult(f"The answer is {len(text)} characters long; at most {longest} are sent.")
        return text

    def config(self, request: Request | None, **more: Any) -> str:
        """The whole config: the answer to a request, or pushed when there is none."""
        data = {"config": self._config.readable(self.offer), "revision": self._config.revision, **more}
        if request is not None and request.t is not None:
            return self._fitting(encode("server-response", request.id, {"t": request.t, "d": data}))
        return self._fitting(encode("config", request.id if request is not None else None, data))

    # ---- one function for each type of message ---------------------------------------------------------------------

    def client_ready(self, request: Request, data: Any) -> Command:
        told = data if is_object(data) else {}
        about = told.get("about")
        self.client = ClientInfo(_version(told.get("version")), about if is_object(about) else {})
        # No client reads the id of `bot-ready`. Where a request waits under it, the id is left to the request's answer.
        id = None if request.id in self.pending else request.id
        text = self._fitting(encode("bot-ready", id, self._bot_ready()))
        self.ready = True
        return Ready(self.client, text)

    def _bot_ready(self) -> dict[str, Any]:
        version = self.client.version
        about = {"library": "rtvi_plugins"}
        if version < (1, 0, 0):
            config = self._config.readable(self.offer)
            return {"version": "0.3.0", "config": config, "revision": self._config.revision, "about": about}
        # A 1.x client reads some events differently from a 2.x client, so it is told its own version back.
        spoken = version if version[0] == 1 else VERSION
        return {"version": ".".join(map(str, spoken)), "about": about}

    def describe_actions(self, request: Request, data: Any) -> Command:
        return Reply(self._described("actions-available", request, self.offer.described_actions))

    def describe_config(self, request: Request, data: Any) -> Command:
        return Reply(self._described("config-available", request, self.offer.described_config))

    def _described(self, type: str, request: Request, text: str) -> str:
        if request.t is None:
            return self._fitting(encode_spliced(type, request.id, text))
        data = f'{{"t":{encode_json(request.t)},"d":{text}}}'
        return self._fitting(encode_spliced("server-response", request.id, data))

    def get_config(self, request: Request, data: Any) -> Command:
        return Reply(self.config(request))

    def update_config(self, request: Request, data: Any) -> Command:
        path = "$.data.d" if request.t is not None else "$.data"
        if not is_object(data) or "config" not in data:
            raise InvalidArguments([Problem(path, "expected an object with config and, if wanted, interrupt.")])
        if not isinstance(interrupt := data.get("interrupt", False), bool):
            raise InvalidArguments([Problem(f"{path}.interrupt", expected("true or false", interrupt))])
        return Update(self._open(request), data["config"], interrupt, f"{path}.config")

    def action(self, request: Request, data: Any) -> Command:
        path, arguments_path = _ACTION_PATHS[request.t is not None]
        if not is_object(data):
            raise InvalidArguments([Problem(path, expected("an object with service, action and arguments", data))])
        action = self.offer.action(data.get("service"), data.get("action"), path)
        arguments = action.binder.bind(data.get("arguments"), arguments_path)
        return Call(self._open(request, action.spec.deadline), action, arguments)

    def client_message(self, request: Request, data: Any) -> Command | None:
        if not is_object(data) or not isinstance(t := data.get("t"), str):
            raise InvalidMessage("The data of a client message has a t that is a string.")
        asked = Request(request.id, request.type, t, request.due)
        if t in _INNER:
            return _INNER[t](self, asked, data.get("d"))
        if (BOT, t) not in self.offer.actions:
            known = (*_INNER, *(name for service, name in self.offer.actions if service == BOT))
            raise UnknownMessage([unknown("request type", t, known, path="$.data.t")])
        action = self.offer.actions[BOT, t]
        arguments = action.binder.bind(data.get("d"), "$.data.d")
        return Call(self._open(asked, action.spec.deadline), action, arguments)

    def send_text(self, request: Request, data: Any) -> Command:
        told = data if is_object(data) else {}
        options = sent if is_object(sent := told.get("options")) else {}
        run, speak = options.get("run_immediately", True), options.get("audio_response", True)
        if (
            not isinstance(content := told.get("content"), str)
            or not isinstance(run, bool)
            or not isinstance(speak, bool)
        ):
            message = "expected {content: string, options: {run_immediately?: bool, audio_response?: bool}}."
            raise InvalidArguments([Problem("$.data", message)])
        return Feed(request.id, UserText(content, run, speak))

    def append_to_context(self, request: Request, data: Any) -> Command:
        told = data if is_object(data) else {}
        run = told.get("run_immediately", False)
        if not isinstance(content := told.get("content"), str) or not isinstance(run, bool):
            raise InvalidArguments(
                [Problem("$.data", "expected {role: string, content: string, run_immediately?: bool}.")]
            )
        if told.get("role") != "user":
            raise NotGranted([Problem("$.data.role", "the bot does not grant this role to this client; use 'user'.")])
        return Feed(request.id, UserText(content, run))

    def function_result(self, request: Request, data: Any) -> Command:
        told = data if is_object(data) else {}
        if not isinstance(call := told.get("tool_call_id"), str):
            raise InvalidArguments([Problem("$.data.tool_call_id", "expected the id of the function call, a string.")])
        return FunctionResult(request.id, call, told.get("result"))

    def disconnect(self, request: Request, data: Any) -> Command:
        return Disconnect()

    def _open(self, request: Request, seconds: float | None = None) -> Request:
        """Let a request wait for its answer, until the session's deadline or its own shorter one."""
        if len(self.pending) >= self._limits.in_flight:
            raise self._busy()
        longest = self._limits.deadline
        due = self._now + (longest if seconds is None or seconds > longest else seconds)
        # One that waited for the client to be ready has had some of its time.
        request.due = min(due, request.due) if request.due else due
        self.pending[request.id] = request
        return request

    def _busy(self) -> Busy:
        return Busy(f"{self._limits.in_flight} requests of this session wait for their answer; send again later.")


#: What is done about each type of message.
_READERS: Mapping[str, Callable[[Conversation, Request, Any], Command | None]] = {
    "client-ready": Conversation.client_ready,
    "describe-actions": Conversation.describe_actions,
    "describe-config": Conversation.describe_config,
    "get-config": Conversation.get_config,
    "update-config": Conversation.update_config,
    "action": Conversation.action,
    "client-message": Conversation.client_message,
    "send-text": Conversation.send_text,
    "append-to-context": Conversation.append_to_context,
    "llm-function-call-result": Conversation.function_result,
    "disconnect-bot": Conversation.disconnect,
}

#: What a client of 1.0 or later may ask for inside a client message, having no messages of its own for it.
_INNER = {
    name: _READERS[name] for name in ("describe-actions", "describe-config", "get-config", "update-config", "action")
}

#: The types whose sender waits for an answer.
_REQUESTS = frozenset((*_INNER, "client-message"))


def _usable(id: Any) -> str:
    """An id under which an answer can be sent; empty if it is none."""
    return id if isinstance(id, str) and len(id) <= 256 else ""


def _version(sent: Any) -> tuple[int, int, int]:
    """The protocol version that `client-ready` names; one that cannot be read is taken for 0.3.0, as pipecat did."""
    found = re.match(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?", sent) if isinstance(sent, str) else None
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else (0, 3, 0)
