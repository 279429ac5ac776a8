"""The RTVI protocol as a state machine without I/O: it receives one text and returns one operation.

`receive` never raises, whatever the client sends: it returns an answer, or an operation for the runtime to run.
The facts about clients come from the published packages. Where generations of clients differ, the version in
`client-ready` decides.

The module has more than 300 lines because it is one state machine, with a method for each type of message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from ..declare.action import PROTOCOL_TYPES
from ..declare.specs import REQUIRED
from ..errors import (
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
from ..session import ClientInfo, UserText
from ..utils.error_texts import shorten
from ..utils.json_values import expected, is_object
from .arguments import named_values
from .codec import LABEL, decode, encode, encode_json, encode_spliced, refused_id
from .config import ConfigChange, SessionConfig, Values
from .offer import Offer, OfferedAction
from .rate_limit import Rate
from .requests import (
    CallAction,
    ClientReady,
    Disconnect,
    FunctionResult,
    Operation,
    Reply,
    Request,
    Requests,
    SubmitText,
    UpdateConfig,
)

__all__ = ("RTVIProtocol",)

# The JSON paths of an action and of its arguments: in an `action` message, and in a `client-message`.
_ACTION_PATHS = (("$.data", "$.data.arguments"), ("$.data.d", "$.data.d.arguments"))

#: The protocol version of the bot, for clients of 2.0 and later.
VERSION = (2, 1, 0)


class RTVIProtocol:
    """The state of the protocol in one session. `offer` is replaced when a provider is switched."""

    def __init__(
        self,
        offer: Offer,
        config: SessionConfig,
        limits: Limits,
        now: float,
        on_old_name: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.offer = offer
        #: Called for each former or deprecated name that the client uses.
        self.on_old_name = on_old_name
        self.client = ClientInfo()
        self.ready = False
        #: Whether the client of the present connection has sent `client-ready`.
        self.introduced = False
        #: In a session that is saved: the answers to the last requests, for those that are sent again. A message that
        #: has no answer has an empty one.
        self.answered: dict[str, str] = {}
        #: Returns what a client needs to resume the session; None if it cannot be resumed.
        self.resume: Callable[[], dict[str, Any]] | None = None
        self.requests = Requests(limits)
        self.rate = Rate(limits, now)
        self._now = now
        self._config = config
        self._limits = limits
        #: The length of the last config that was encoded; until then, the greatest of a start request.
        self.config_length = limits.outbox_size // 2
        #: Messages that came before `client-ready`.
        self._early: list[tuple[Request, dict[str, Any]]] = []

    # ---- receiving -------------------------------------------------------------------------------------------------

    def receive(self, text: str, now: float) -> Operation | None:
        """Return the operation for a text. Return None for an early message, and for an id that is still pending."""
        id: str | None = None
        self._now = now
        pending = self.requests.pending
        try:
            if not self.rate.take_text(text, now):
                raise RateLimited("Too many messages, or too large ones, in a short time; send fewer.")
            message = decode(text, size=self._limits.message_size, depth=self._limits.nesting)
            id = _usable_id(message.get("id"))
            type = self._type(message, id)
            if id in pending and (self.introduced or type != "client-ready"):
                return None
            if type in _REQUESTS and (answer := self.answered.get(id)):
                return Reply(answer)
            if self.introduced or type == "client-ready":
                operation = _READERS[type](self, Request(id, type), message.get("data"))
                if isinstance(operation, Reply):
                    self.rate.charge_answer(len(operation.text))
                return operation
            self._keep_early(Request(id, type), message)
            return None
        except RequestError as error:
            if id is None:  # the message was not parsed
                id = _usable_id(refused_id(text))
            if not isinstance(error, RateLimited):
                self.rate.charge_problems(len(error.problems))
            if id in pending:  # the id belongs to the pending request, which gets its own answer
                return None
            return Reply(encode("error-response", id, error.to_json()))

    def _type(self, message: Mapping[str, Any], id: str) -> str:
        if message.get("label") != LABEL:
            raise InvalidMessage(
                f'A message needs "label": "{LABEL}"; this one has {shorten(repr(message.get("label")))}.'
            )
        type = message.get("type")
        if not isinstance(type, str):
            raise InvalidMessage("A message needs a type that is a string.")
        if not id:
            raise InvalidMessage("A message needs an id that is a string of 1 to 256 characters.")
        if type not in PROTOCOL_TYPES:
            raise UnknownMessage([unknown("message type", type, PROTOCOL_TYPES, path="$.type")])
        return type

    def _keep_early(self, request: Request, message: dict[str, Any]) -> None:
        """Keep a message until the client is ready. A request is pending from now on, so its deadline holds."""
        if len(self._early) >= self._limits.in_flight:
            raise self.requests.busy()
        self._early.append((request, message))
        if request.type in _REQUESTS:
            self.requests.open(request, self._now)

    def release(self) -> Iterator[Operation]:
        """Yield the operations for the messages that came before `client-ready`, in their order."""
        early, self._early = self._early, []
        for request, message in early:
            if request.type in _REQUESTS and not self.requests.settle(request):
                continue
            try:
                operation = _READERS[request.type](self, request, message.get("data"))
            except RequestError as error:
                if request.id in self.requests.pending:  # the id belongs to the pending request
                    continue
                operation = Reply(encode("error-response", request.id, error.to_json()))
            if operation is not None:
                yield operation

    # ---- answers ---------------------------------------------------------------------------------------------------

    def result(self, request: Request, result: Any) -> str:
        """Encode the answer with an action's result.

        Raise `TypeError` for a value that JSON cannot carry, and `InvalidResult` for one that is too long.
        """
        if request.t is None:
            return self._fitting(encode("action-response", request.id, {"result": result}))
        return self._fitting(encode("server-response", request.id, {"t": request.t, "d": result}))

    def _fitting(self, text: str) -> str:
        """Return a text if it fits the outbox. A longer one would end the session."""
        longest = self._limits.outbox_size
        if len(text) > longest:
            raise InvalidResult(f"The answer is {len(text)} characters long; at most {longest} are sent.")
        return text

    def config(self, request: Request | None, **more: Any) -> str:
        """Encode the whole config: as the answer to a request, or as a message of its own without one.

        Raise `InvalidResult` if it is too long.
        """
        text = self._config_text(request, self.offer, self._config.values, self._config.revision, more)
        self.config_length = len(text)
        return self._fitting(text)

    def check_answer(self, request: Request, change: ConfigChange) -> None:
        """Raise `InvalidResult` if the config would be too long to send after this change."""
        more = {"applies": "next-turn"}  # the longer of its values
        self._fitting(self._config_text(request, change.offer, change.values, self._config.revision + 1, more))

    def _config_text(
        self, request: Request | None, offer: Offer, values: Values, revision: int, more: Mapping[str, Any]
    ) -> str:
        data = {"config": offer.readable_config(values), "revision": revision, **more}
        if request is not None and request.t is not None:
            return encode("server-response", request.id, {"t": request.t, "d": data})
        return encode("config", request.id if request is not None else None, data)

    # ---- one method for each message type --------------------------------------------------------------------------

    def client_ready(self, request: Request, data: Any) -> Operation:
        sent = data if is_object(data) else {}
        about = sent.get("about")
        self.client = ClientInfo(_version(sent.get("version")), about if is_object(about) else {})
        # No client reads the id of `bot-ready`. If the id belongs to a pending request, only that one's answer has it.
        id = None if request.id in self.requests.pending else request.id
        text = self._fitting(encode("bot-ready", id, self._bot_ready()))
        self.ready = self.introduced = True
        waiting: Any = sent.get("waiting")
        received: Any = sent.get("received")
        if not isinstance(waiting, list):
            return ClientReady(self.client, text)
        # A client may wait for more than were pending: requests that were refused, or that have not arrived.
        most = max(_WAITING * self._limits.in_flight, _LEAST_WAITING)
        ids = (_usable_id(each) for each in cast("list[Any]", waiting)[:most])
        return ClientReady(self.client, text, tuple(filter(None, ids)), received if isinstance(received, int) else 0)

    def _bot_ready(self) -> dict[str, Any]:
        version = self.client.version
        about: dict[str, Any] = {"library": "rtvi_plugins"}
        if self.resume is not None:
            about["resume"] = {**self.resume(), "revision": self._config.revision}
        if version < (1, 0, 0):
            config = self.offer.readable_config(self._config.values)
            return {"version": "0.3.0", "config": config, "revision": self._config.revision, "about": about}
        # A 1.x client interprets some events differently from a 2.x client, so the bot answers with its version.
        answered = version if version[0] == 1 else VERSION
        return {"version": ".".join(map(str, answered)), "about": about}

    def describe_actions(self, request: Request, data: Any) -> Operation:
        return Reply(self._described("actions-available", request, self.offer.described_actions))

    def describe_config(self, request: Request, data: Any) -> Operation:
        return Reply(self._described("config-available", request, self.offer.described_config))

    def _described(self, type: str, request: Request, text: str) -> str:
        if request.t is None:
            return self._fitting(encode_spliced(type, request.id, text))
        data = f'{{"t":{encode_json(request.t)},"d":{text}}}'
        return self._fitting(encode_spliced("server-response", request.id, data))

    def get_config(self, request: Request, data: Any) -> Operation:
        return Reply(self.config(request))

    def update_config(self, request: Request, data: Any) -> Operation:
        path = "$.data.d" if request.t is not None else "$.data"
        if not is_object(data) or "config" not in data:
            raise InvalidArguments([Problem(path, "expected an object with config and optionally interrupt.")])
        if not isinstance(interrupt := data.get("interrupt", False), bool):
            raise InvalidArguments([Problem(f"{path}.interrupt", expected("true or false", interrupt))])
        return UpdateConfig(self.requests.open(request, self._now), data["config"], interrupt, f"{path}.config")

    def action(self, request: Request, data: Any) -> Operation:
        path, arguments_path = _ACTION_PATHS[request.t is not None]
        if not is_object(data):
            raise InvalidArguments([Problem(path, expected("an object with service, action and arguments", data))])
        action = self.offer.action(data.get("service"), data.get("action"), path)
        sent = data.get("arguments")
        return self._call(request, action, action.binder.bind(sent, arguments_path), sent, arguments_path)

    def _call(
        self, request: Request, action: OfferedAction, arguments: dict[str, Any], sent: Any, path: str
    ) -> CallAction:
        """Return the call. Report a deprecated action, and the former and deprecated names of its arguments."""
        if action.old_names:
            for argument in ("", *(each.name for each in named_values(sent or (), "", []))):
                if argument in action.old_names:
                    self.on_old_name(action.old_names[argument])
        return CallAction(self.requests.open(request, self._now, action.spec.deadline), action, arguments, sent, path)

    def client_message(self, request: Request, data: Any) -> Operation | None:
        if not is_object(data) or not isinstance(t := data.get("t"), str):
            raise InvalidMessage("The data of a client-message needs a t that is a string.")
        inner = Request(request.id, request.type, t, request.due)
        if t in _INNER:
            return _INNER[t](self, inner, data.get("d"))
        action = self.offer.message(t, _INNER)
        if action.spec.message == t:
            arguments = action.binder.bind_message(data.get("d", REQUIRED), "$.data.d")
            return self._call(inner, action, arguments, arguments, "$.data.d")
        sent = data.get("d")
        return self._call(inner, action, action.binder.bind(sent, "$.data.d"), sent, "$.data.d")

    def send_text(self, request: Request, data: Any) -> Operation:
        sent = data if is_object(data) else {}
        options = text_options if is_object(text_options := sent.get("options")) else {}
        run, speak = options.get("run_immediately", True), options.get("audio_response", True)
        content = sent.get("content")
        if not (isinstance(content, str) and isinstance(run, bool) and isinstance(speak, bool)):
            message = "expected {content: string, options: {run_immediately?: bool, audio_response?: bool}}."
            raise InvalidArguments([Problem("$.data", message)])
        _require_text(content)
        return SubmitText(request.id, UserText(content, run, speak))

    def append_to_context(self, request: Request, data: Any) -> Operation:
        sent = data if is_object(data) else {}
        content, run = sent.get("content"), sent.get("run_immediately", False)
        if not (isinstance(content, str) and isinstance(run, bool)):
            message = "expected {role: string, content: string, run_immediately?: bool}."
            raise InvalidArguments([Problem("$.data", message)])
        if sent.get("role") != "user":
            raise NotGranted([Problem("$.data.role", "the bot does not grant this role to this client; use 'user'.")])
        _require_text(content)
        return SubmitText(request.id, UserText(content, run))

    def function_result(self, request: Request, data: Any) -> Operation:
        sent = data if is_object(data) else {}
        if not isinstance(call := sent.get("tool_call_id"), str):
            raise InvalidArguments([Problem("$.data.tool_call_id", "expected the id of the function call, a string.")])
        return FunctionResult(request.id, call, sent.get("result"))

    def disconnect(self, request: Request, data: Any) -> Operation:
        return Disconnect()


#: The method for each of `PROTOCOL_TYPES`.
_READERS: Mapping[str, Callable[[RTVIProtocol, Request, Any], Operation | None]] = {
    "client-ready": RTVIProtocol.client_ready,
    "describe-actions": RTVIProtocol.describe_actions,
    "describe-config": RTVIProtocol.describe_config,
    "get-config": RTVIProtocol.get_config,
    "update-config": RTVIProtocol.update_config,
    "action": RTVIProtocol.action,
    "client-message": RTVIProtocol.client_message,
    "send-text": RTVIProtocol.send_text,
    "append-to-context": RTVIProtocol.append_to_context,
    "llm-function-call-result": RTVIProtocol.function_result,
    "disconnect-bot": RTVIProtocol.disconnect,
}

#: The types that a client of 1.0 or later sends inside a `client-message`, because it has no messages for them.
_INNER = {
    name: _READERS[name] for name in ("describe-actions", "describe-config", "get-config", "update-config", "action")
}

#: For how many requests a client may wait when it comes back, as a multiple of those that may be pending.
_WAITING = 8
#: It may name at least so many ids: clients also name messages without an answer, however few requests may be pending.
_LEAST_WAITING = 128

#: The types that are answered.
_REQUESTS = frozenset((*_INNER, "client-message"))


def _require_text(content: str) -> None:
    """Raise `InvalidArguments` for a blank text: there is nothing to answer, and some vendors refuse it."""
    if not content.strip():
        raise InvalidArguments([Problem("$.data.content", "expected a text that is not blank.")])


def _usable_id(id: Any) -> str:
    """Return an id under which an answer can be sent, or "" if this is none."""
    return id if isinstance(id, str) and len(id) <= 256 else ""


def _version(sent: Any) -> tuple[int, int, int]:
    """Return the version in `client-ready`. A missing or unreadable one counts as 0.3.0, as it does in pipecat."""
    version = re.match(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?", sent) if isinstance(sent, str) else None
    return (int(version[1]), int(version[2]), int(version[3] or 0)) if version else (0, 3, 0)
