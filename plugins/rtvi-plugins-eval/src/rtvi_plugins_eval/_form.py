"""The messages of `pipecat eval` on a WebSocket: RTVI as JSON, with audio in it, and requests of the harness.

The harness is an RTVI client. It adds requests of its own in the envelope of a `client-message`. None is answered, as
in pipecat; a failure is reported as an `error`, and in the log.
"""

from __future__ import annotations

import binascii
import logging
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeGuard, cast, get_args

import orjson

from rtvi_plugins.context import Message, Role
from rtvi_plugins.errors import InvalidArguments, Problem
from rtvi_plugins.hosting import Connection
from rtvi_plugins.kinds import Audio
from rtvi_plugins_server.websocket import CloseFrame

__all__ = ("EvalForm", "eval_form")

log = logging.getLogger("rtvi_plugins.eval")

#: The rate, in Hz, at which the harness listens to the bot.
_RATE: Final = 16_000
_PROTOCOL_ERROR: Final = 1002
#: The messages of the bot's instructions.
_INSTRUCTIONS: Final = ("system", "developer")


def eval_form(connection: Connection, first: str | bytes) -> EvalForm | None:
    """Return the form for the harness. It sends `eval-connect` before anything else."""
    name, flags = _request(_read(first))
    return EvalForm(connection, speaks=flags.get("skip_tts") is not True) if name == "eval-connect" else None


class EvalForm:
    """The form of one connection. `speaks` says whether the bot speaks; if not, it answers in text."""

    def __init__(self, connection: Connection, *, speaks: bool) -> None:
        self._connection = connection
        connection.open_audio(_RATE if speaks else None)

    def receive(self, data: str | bytes) -> CloseFrame | None:
        """Answer a request of the harness, or pass the message to the session."""
        if not isinstance(data, str):
            return CloseFrame(_PROTOCOL_ERROR, "The harness sends text frames only.")
        message = _read(data)
        if message.get("type") == "raw-audio":
            self._hear(message.get("data"))
            return None
        name, sent = _request(message)
        if name not in _REQUESTS:
            self._connection.receive(data)
            return None
        try:
            _REQUESTS[name](self._connection, sent)
        except InvalidArguments as error:
            about = {"session": self._connection.id, "code": error.code}
            log.warning("session %s: %s: %s", self._connection.id, name, error.message, extra=about)
            self._connection.session.fail(error)
        return None

    def _hear(self, sent: Any) -> None:
        try:
            audio = Audio(b64decode(sent["base64Audio"], validate=True), sent["sampleRate"], sent["numChannels"])
        except (KeyError, TypeError, ValueError, binascii.Error):
            self._connection.refuse_audio("A message raw-audio needs base64Audio, sampleRate and numChannels.")
        else:
            self._connection.receive_audio(audio)

    def write(self, item: str | Audio) -> str | bytes:
        """Return the message for an item that the session sends."""
        if isinstance(item, str):
            return item
        data = {"audio": b64encode(item.data).decode(), "sampleRate": item.rate}
        return orjson.dumps({"label": "rtvi-ai", "type": "eval-bot-audio", "data": data}).decode()


# ---- reading -------------------------------------------------------------------------------------------------------


def _read(data: str | bytes) -> Mapping[str, Any]:
    """Return a message as an object. Return an empty one for anything else, which the session refuses itself."""
    try:
        found: object = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return found if _is_object(found) else {}


def _request(message: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return the type and the data of a `client-message`."""
    data = message.get("data")
    if message.get("type") != "client-message" or not _is_object(data):
        return "", {}
    sent = data.get("d")
    return str(data.get("t")), sent if _is_object(sent) else {}


def _is_object(value: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, dict)


# ---- the requests of the harness -----------------------------------------------------------------------------------


def _connect(connection: Connection, sent: Mapping[str, Any]) -> None:
    """Do nothing: the first message has opened the connection."""


def _configure(connection: Connection, sent: Mapping[str, Any]) -> None:
    """Report function calls with their names and arguments, if the scenario has expectations about them."""
    levels = sent.get("function_call_report_level")
    if _is_object(levels) and any(level != "none" for level in levels.values()):
        connection.report_functions()
    for name, events in (("vad_user_speaking", "vad_user_* events"), ("llm_markers", "llm_marker")):
        if sent.get(name):
            raise InvalidArguments([Problem(f"$.data.d.{name}", f"this server does not send {events}.")])


def _set_context(connection: Connection, sent: Mapping[str, Any]) -> None:
    """Replace the conversation. The instructions of the bot stay, unless the scenario has its own."""
    messages = sent.get("messages")
    if not isinstance(messages, list):
        raise InvalidArguments([Problem("$.data.d.messages", "expected an array of messages.")])
    given = cast("list[Any]", messages)
    if problems := [problem for index, each in enumerate(given) for problem in _problems(index, each)]:
        raise InvalidArguments(problems)
    context = connection.session.context
    instructions = [each for each in context.messages if each["role"] in _INSTRUCTIONS]
    if any(each["role"] in _INSTRUCTIONS for each in given):
        instructions.clear()
    context.replace([*instructions, *cast("list[Message]", given)])


def _problems(index: int, message: Any) -> list[Problem]:
    path = f"$.data.d.messages[{index}]"
    if not _is_object(message):
        return [Problem(path, "expected an object with role and content.")]
    found: list[Problem] = []
    if message.get("role") not in get_args(Role):
        found.append(Problem(f"{path}.role", f"expected one of {', '.join(get_args(Role))}."))
    if not isinstance(message.get("content"), str | list | None):
        found.append(Problem(f"{path}.content", "expected text, or an array of parts."))
    return found


def _show_image(connection: Connection, sent: Mapping[str, Any]) -> None:
    raise InvalidArguments([Problem("$.data.d", "this server has no images; remove image from the scenario.")])


def _end(connection: Connection, sent: Mapping[str, Any]) -> None:
    connection.close("the evaluation is over", now=True)


_REQUESTS: Mapping[str, Callable[[Connection, Mapping[str, Any]], None]] = {
    "eval-connect": _connect,
    "eval-configure": _configure,
    "eval-context": _set_context,
    "eval-image": _show_image,
    "eval-cancel": _end,
}
