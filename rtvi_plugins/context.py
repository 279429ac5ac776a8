"""The context of a conversation: its messages, and the functions that the LLM may call. It belongs to the session."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NotRequired, Required, cast, get_args

from attrs import define, field
from typing_extensions import TypedDict

from .errors import ContextFull
from .utils.json_values import check_json, is_array, is_object, json_type_name

__all__ = (
    "Context",
    "Function",
    "InsertionPoint",
    "Message",
    "MessageWithThoughts",
    "Role",
    "WrappedFunction",
    "without_vendor_data",
)

#: Who a message is from.
Role = Literal["system", "developer", "user", "assistant", "tool"]


class Message(TypedDict, total=False):
    """One message in OpenAI's format, which every published RTVI client sends.

    `content` is text; for a user it may be an array of parts, as in `{"type": "text", "text": "Hello"}`, and for an
    assistant null beside `tool_calls`. Each of those has an `id`, `"type": "function"` and a `function` with `name` and
    `arguments`, a JSON text. A message of role "tool" is the result of the call with its `tool_call_id`. The
    framework adds `interrupted` to an answer that the user interrupted. Providers do not receive it. A provider
    receives the `extra` of its own calls in `tool_calls`. Other providers and clients do not.
    """

    role: Required[Role]
    content: Required[str | list[dict[str, Any]] | None]
    name: NotRequired[str]
    tool_calls: NotRequired[list[dict[str, Any]]]
    tool_call_id: NotRequired[str]
    interrupted: NotRequired[bool]


class MessageWithThoughts(Message, total=False):
    """A message of an LLM that has yielded thoughts: see `rtvi_plugins.kinds.thoughts_of`."""

    thoughts: NotRequired[list[dict[str, Any]]]


class Function(TypedDict):
    """A function that an LLM may call. `parameters`, if any, is a JSON Schema of type object."""

    name: str
    description: NotRequired[str]
    parameters: NotRequired[dict[str, Any]]
    #: OpenAI's flag: the arguments always fit `parameters`. Other vendors do not know it.
    strict: NotRequired[bool]


class WrappedFunction(TypedDict):
    """A function in OpenAI's form. It is accepted wherever a client or a config sends functions."""

    type: Literal["function"]
    function: Function


@define(eq=False)
class InsertionPoint:
    """The position at which a turn inserts its messages. Messages that are appended meanwhile come after it."""

    index: int


#: A message costs memory beside its text; so it counts as this many more characters.
_MESSAGE_SIZE = 200


def _size_of(messages: Iterable[Message]) -> int:
    return sum(_MESSAGE_SIZE + len(json.dumps(each)) for each in messages)


_ROLES: tuple[str, ...] = get_args(Role)


def _check_messages(messages: Sequence[Message]) -> None:
    """Raise `TypeError` for what is not a message in JSON. Authors may have no type checker."""
    check_json(list(messages))
    for index, message in enumerate(messages):
        if (problem := _problem_of(message)) is not None:
            raise TypeError(f"This is not a message: $[{index}]{problem}.")


def _problem_of(message: object) -> str | None:
    """Return the path in a message, and what is wrong there."""
    if not is_object(message):
        return f": expected an object with role and content, got {json_type_name(message)}"
    role, content = message.get("role"), message.get("content")
    if role not in _ROLES:
        return f".role: expected one of {', '.join(_ROLES)}, got {role!r}"
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        return '.tool_call_id: a message of role "tool" needs the id of its call'
    if content is None and role == "assistant":
        return None
    if isinstance(content, str) or (is_array(content) and all(map(is_object, content))):
        return None
    return f".content: expected text or an array of parts, got {json_type_name(content)}"


def _check(context: object, attribute: object, functions: tuple[Function, ...]) -> tuple[Function, ...]:
    check_json(functions)
    return functions


@define(eq=False)
class Context:
    """The messages and functions of one session. Only the session's own tasks change it."""

    #: From this size on, in characters of JSON, `require_space` raises.
    limit: float = math.inf
    _messages: list[Message] = field(factory=list[Message])
    functions: tuple[Function, ...] = field(default=(), on_setattr=_check)
    #: Whether the LLM may or must call functions: "none", "auto", "required" or the name of a function that it must
    #: call. None leaves it to the provider, as "auto" does.
    tool_choice: str | None = None
    #: How often all messages were replaced.
    replacements: int = field(default=0, init=False)
    _insertion_point: InsertionPoint | None = None
    _size: int = 0
    #: The index of the first message that has changed since `take_changed`.
    _changed: int = 0

    def take_changed(self) -> int:
        """Return the index from which messages may have changed since the last call of this."""
        changed, self._changed = self._changed, len(self._messages)
        return changed

    def _note_change(self, index: int) -> None:
        self._changed = min(self._changed, index)

    @property
    def size(self) -> int:
        """Return the size of the messages in characters of JSON, plus 200 for each message."""
        return self._size

    def require_space(self) -> None:
        """Raise `ContextFull` if clients may add nothing more. The bot itself always may."""
        if self._size >= self.limit:
            raise ContextFull("The conversation has reached its maximum size. Replace it with llm:set_context.")

    @property
    def messages(self) -> tuple[Message, ...]:
        """Return the messages, the oldest first."""
        return tuple(self._messages)

    def append(self, *messages: Message, before: Message | None = None) -> None:
        """Add messages at the end, or before the message `before`, if the context has it.

        Like every change of the context, raise `TypeError` for what is not a message in JSON.
        """
        _check_messages(messages)
        end = len(self._messages)
        index = end if before is None else next((at for at, each in enumerate(self._messages) if each is before), end)
        self._note_change(index)
        self._messages[index:index] = messages
        self._size += _size_of(messages)
        if self._insertion_point is not None and index < self._insertion_point.index:
            self._insertion_point.index += len(messages)

    def amend(self, message: Message, content: str | list[dict[str, Any]]) -> bool:
        """Change the content of `message` if it is the last one. Return whether it was."""
        if not self._messages or self._messages[-1] is not message:
            return False
        check_json(content, "$.content")
        self._change(len(self._messages) - 1, content)
        return True

    def set_prompt(self, text: str) -> None:
        """Set the first message, of role "system" or "developer". If there is none, put one before all others."""
        has_prompt = bool(self._messages) and self._messages[0]["role"] in ("system", "developer")
        prompt: Message = {"role": self._messages[0]["role"] if has_prompt else "system", "content": text}
        self._size += _size_of([prompt]) - _size_of(self._messages[:has_prompt])
        self._note_change(0)
        self._messages[:has_prompt] = [prompt]  # a new message: other sessions may have the old one too
        if self._insertion_point is not None and not has_prompt:
            self._insertion_point.index += 1

    def settle(self, call: str, before: str, content: str) -> bool:
        """Replace the result `before` of a function call by `content`. Return whether `before` was found."""
        for index in reversed(range(len(self._messages))):
            message = self._messages[index]
            if message.get("tool_call_id") == call and message["content"] == before:
                self._change(index, content)
                return True
        return False

    def _change(self, index: int, content: str | list[dict[str, Any]]) -> None:
        message = self._messages[index]
        self._note_change(index)
        self._size -= _size_of([message])
        message["content"] = content
        self._size += _size_of([message])

    def replace(self, messages: Sequence[Message]) -> None:
        """Replace all messages. A turn that is still running can no longer insert its messages."""
        _check_messages(messages)
        self._messages = list(messages)
        self._size = _size_of(messages)
        self._note_change(0)
        self._insertion_point = None
        self.replacements += 1

    def reserve(self) -> InsertionPoint:
        """Reserve the end of the context for a turn's messages. Messages that are appended later come after them."""
        self._insertion_point = InsertionPoint(len(self._messages))
        return self._insertion_point

    def is_current(self, point: InsertionPoint) -> bool:
        """Return whether an insertion point is still valid: the messages were not replaced since."""
        return point is self._insertion_point

    def set_functions(self, functions: Iterable[Function | WrappedFunction]) -> None:
        """Replace the functions of the client. They may have OpenAI's form; `functions` has them without it."""
        self.functions = tuple(cast(Function, each.get("function", each)) for each in functions)

    def snapshot(self) -> Callable[[], None]:
        """Return a function that restores the present context."""
        messages, functions, point = list(self._messages), self.functions, self._insertion_point
        choice = self.tool_choice
        index, size = point.index if point is not None else 0, self._size

        def restore() -> None:
            self._note_change(0)
            self._size, self.tool_choice = size, choice
            self._messages, self.functions, self._insertion_point = messages, functions, point
            if point is not None:
                point.index = index

        return restore

    def before(self, point: InsertionPoint) -> tuple[Message, ...]:
        """Return the messages up to an insertion point, including the turn's own. If they were replaced, return all."""
        return tuple(self._messages[: point.index]) if point is self._insertion_point else self.messages

    def insert(self, point: InsertionPoint, *messages: Message) -> bool:
        """Insert a turn's messages. Return False, and insert nothing, if the messages were replaced."""
        if point is not self._insertion_point:
            return False
        _check_messages(messages)
        self._note_change(point.index)
        self._messages[point.index : point.index] = messages
        self._size += _size_of(messages)
        point.index += len(messages)
        return True

    def to_json(self) -> dict[str, Any]:
        """Return `{messages, tools}`, the result of the action `llm:get_context`; and `tool_choice`, if it is set."""
        choice = {} if self.tool_choice is None else {"tool_choice": self.tool_choice}
        return {"messages": without_vendor_data(self._messages), "tools": list(self.functions), **choice}


def without_vendor_data(messages: Iterable[Message], provider: str | None = None) -> list[Message]:
    """Return the messages without the thoughts and extras of all providers but `provider`.

    In the context these are objects with one key, the name of the provider's class. Other providers could not read
    them, and some vendors refuse fields that they do not know.
    """
    return [_of_provider(each, provider) for each in messages]


def _of_provider(message: Message, provider: str | None) -> Message:
    if "thoughts" not in message and not any("extra" in each for each in message.get("tool_calls", ())):
        return message
    found = cast(MessageWithThoughts, message.copy())
    if thoughts := [own for each in found.pop("thoughts", []) if (own := each.get(provider or "")) is not None]:
        found["thoughts"] = thoughts
    if "tool_calls" in found:
        found["tool_calls"] = [_call_of(each, provider) for each in found["tool_calls"]]
    return found


def _call_of(call: dict[str, Any], provider: str | None) -> dict[str, Any]:
    extra: Any = call.get("extra")
    own: Any = cast("dict[str, Any]", extra).get(provider or "") if isinstance(extra, dict) else None
    rest = {name: value for name, value in call.items() if name != "extra"}
    return rest if own is None else {**rest, "extra": own}
