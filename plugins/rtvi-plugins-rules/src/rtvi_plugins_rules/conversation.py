"""The conversation as rules see it: who said what, the instructions, and the results that functions gave.

Messages come from clients, so any of their fields may hold anything; what cannot be read is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from attrs import frozen

__all__ = ("Conversation", "Result", "Turn", "as_mapping", "as_sequence", "read")

#: No rule looks further into a text than this, so that no text can make matching slow.
LONGEST = 2000

#: Who spoke ("user" or "assistant"), and what they said.
Turn: TypeAlias = tuple[str, str]


@frozen
class Result:
    """The result of a function, with its call if the conversation contains it."""

    name: str
    arguments: Mapping[str, Any]
    value: Any


@frozen
class Conversation:
    """The messages, oldest first. `last` is the role of the newest message, empty in an empty conversation.

    `recent` holds the turns since the last function call.
    """

    turns: tuple[Turn, ...]
    recent: tuple[Turn, ...]
    instructions: tuple[str, ...]
    results: tuple[Result, ...]
    last: str

    @property
    def said(self) -> tuple[str, ...]:
        """Everything that the user said, the newest last."""
        return tuple(text for role, text in self.turns if role == "user")

    @property
    def text(self) -> str:
        """Return the user's last message; empty if the newest message is not from the user."""
        return self.turns[-1][1] if self.last == "user" and self.turns else ""


def read(messages: Sequence[Mapping[str, Any]]) -> Conversation:
    """The conversation that these messages hold."""
    spoken = [(str(message.get("role")), _text(message.get("content"))) for message in messages]
    called = [at for at, message in enumerate(messages) if message.get("role") == "tool" or message.get("tool_calls")]
    return Conversation(
        turns=_turns(spoken),
        recent=_turns(spoken[called[-1] + 1 :] if called else spoken),
        instructions=tuple(text for role, text in spoken if text and role in ("system", "developer")),
        results=tuple(_results(messages)),
        last=spoken[-1][0] if spoken else "",
    )


def _turns(spoken: Iterable[Turn]) -> tuple[Turn, ...]:
    return tuple((role, text) for role, text in spoken if text and role in ("user", "assistant"))


def as_mapping(value: object) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def as_sequence(value: object) -> Sequence[Any]:
    """The value if it is an array, else an empty one."""
    return cast("Sequence[Any]", value) if isinstance(value, list | tuple) else ()


def _text(content: object) -> str:
    if isinstance(content, str):
        return content[:LONGEST].replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").strip()
    parts = (as_mapping(part).get("text") for part in as_sequence(content))
    return _text(" ".join(part for part in parts if isinstance(part, str))) if content else ""


def _results(messages: Sequence[Mapping[str, Any]]) -> Iterable[Result]:
    """The results that stand at the end, after everything the user said."""
    calls = {call_id: call for message in messages for call_id, call in _calls(message)}
    newest = len(messages)
    while newest and messages[newest - 1].get("role") == "tool":
        newest -= 1
    for message in messages[newest:]:
        name, arguments = calls.get(str(message.get("tool_call_id")), (str(message.get("name") or "the function"), {}))
        yield Result(name, arguments, _json(message.get("content")))


def _calls(message: Mapping[str, Any]) -> Iterable[tuple[str, tuple[str, Mapping[str, Any]]]]:
    for call in map(as_mapping, as_sequence(message.get("tool_calls"))):
        function = as_mapping(call.get("function"))
        yield str(call.get("id")), (str(function.get("name")), as_mapping(_json(function.get("arguments"))))


def _json(value: object) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
