"""The validator `roles`. It limits the messages that a client may add to the conversation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

from ..context import Message, Role
from ..errors import DeclarationError
from ..utils.error_texts import authors_line, shorten
from ..utils.json_values import is_array, is_object, json_type_name, member_path

__all__ = ("ANY_ROLE", "is_call", "roles")

#: The fields that every message has.
_ALWAYS_ALLOWED = ("role", "content")

_FIELDS = tuple(name for name in Message.__annotations__ if name not in _ALWAYS_ALLOWED)

_ROLES: tuple[str, ...] = get_args(Role)

_CALL_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "function": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "arguments": {"type": "string"}},
            "required": ["name", "arguments"],
        },
    },
    "required": ["id", "function"],
}


class roles:  # noqa: N801 - a validator, in lower case like those of attrs
    """A validator of messages: only these roles, each message with text and nothing else.

    `Grant("llm:append_to_messages", arguments={"messages": roles("user", "system")})`

    `content` may be a string or a list of text parts. `parts` lists more types of content parts to accept, such as
    `parts=["image_url"]`. `fields` lists more fields of a message, such as `fields=["name", "tool_calls"]`. All of this
    is sent to the LLM's vendor, which may load the URLs in it. Raise `DeclarationError` for an unknown name.
    """

    def __init__(self, *allowed: str, parts: Iterable[str] = (), fields: Iterable[str] = ()) -> None:
        self.allowed = allowed
        self.parts = _listed_names("parts", parts)
        self.fields = _listed_names("fields", fields)
        for what, names, known in (("role", allowed, _ROLES), ("field", self.fields, _FIELDS)):
            if unknown := [each for each in names if each not in known]:
                message = f"names {unknown[0]!r}, which is not a {what} of a message; there is {', '.join(known)}."
                raise DeclarationError(None, f"roles(…) ({authors_line()}) {message}")
        if not allowed:
            raise DeclarationError(None, f"roles() ({authors_line()}) names no role. Write roles('user').")
        self.json_schema = self._schema()

    def __repr__(self) -> str:
        more = [f"{name}={list(value)}" for name, value in (("parts", self.parts), ("fields", self.fields)) if value]
        return f"roles({', '.join((*map(repr, self.allowed), *more))})"

    def __call__(self, instance: Any, attribute: Any, value: Any) -> None:
        for path, message in self.problems(value or ()):
            raise ValueError(f"{path}: {message}")

    def problems(self, messages: Sequence[Any]) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with messages: the path in them, as in `[0].role`, and why."""
        for index, message in enumerate(messages):
            if not is_object(message):
                yield f"[{index}]", f"expected a message, got {json_type_name(message)}"
                continue
            if (role := message.get("role")) not in self.allowed:
                allowed = " or ".join(self.allowed)
                yield f"[{index}].role", f"messages may have the role {allowed}, not {shorten(str(role))}"
            for name in message:
                if name not in (*_ALWAYS_ALLOWED, *self.fields):
                    granted = ", ".join((*_ALWAYS_ALLOWED, *self.fields))
                    yield member_path(f"[{index}]", name), f"a message may have {granted} only"
            yield from self._content(message, f"[{index}].content")
            if "tool_calls" in self.fields:
                yield from _problems_of_calls(message.get("tool_calls"), f"[{index}].tool_calls")

    def _content(self, message: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
        content = message.get("content")
        if is_array(content):
            for index, part in enumerate(content):
                yield from self._content_part(part, f"{path}[{index}]")
        elif not isinstance(content, str) and not (content is None and message.get("tool_calls")):
            yield path, f"expected text, got {json_type_name(content)}"

    def _content_part(self, part: Any, path: str) -> Iterator[tuple[str, str]]:
        """Yield the problems of a content part."""
        type = part.get("type") if is_object(part) else None
        if type == "text":
            if not (isinstance(part.get("text"), str) and part.keys() == {"type", "text"}):
                yield path, "a text part has a type and a text, and nothing else"
        elif not isinstance(type, str) or type not in self.parts:
            granted = " or ".join(("text", *self.parts))
            yield f"{path}.type", f"parts may have the type {granted}, not {shorten(repr(type))}"

    def _schema(self) -> dict[str, Any]:
        """Return the JSON Schema that clients read."""
        text = {
            "type": "object",
            "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
            "required": ["type", "text"],
            "additionalProperties": False,
        }
        others = {"type": "object", "properties": {"type": {"enum": list(self.parts)}}, "required": ["type"]}
        part = {"anyOf": [text, others]} if self.parts else text
        content: list[Any] = [{"type": "string"}, {"type": "array", "items": part}]
        if "tool_calls" in self.fields:
            content.append({"type": "null"})
        fields: dict[str, Any] = {name: False for name in _FIELDS if name not in self.fields}
        if "tool_calls" in self.fields:
            fields["tool_calls"] = {"items": _CALL_SCHEMA}
        return {
            "items": {"properties": {"role": {"enum": list(self.allowed)}, "content": {"anyOf": content}, **fields}}
        }


def _problems_of_calls(calls: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield the problems of `tool_calls`. Providers read these fields, and would fail for all other values."""
    for index, call in enumerate(calls if is_array(calls) else ()):
        if not is_call(call):
            yield f"{path}[{index}]", "a call has an id, and a function with name and arguments, which are texts"


def is_call(call: Any) -> bool:
    """Return whether an item of `tool_calls` has what providers read."""
    function = call.get("function") if is_object(call) else None
    needed = (call.get("id"), function.get("name"), function.get("arguments")) if is_object(function) else (None,)
    return all(isinstance(each, str) for each in needed)


def _listed_names(argument: str, names: Any) -> tuple[str, ...]:
    several: Any = (names,) if isinstance(names, str) else names
    listed: tuple[Any, ...] = tuple(several) if isinstance(names, Iterable) else (None,)
    if not all(isinstance(each, str) for each in listed):
        message = f"takes {argument}= as a list of names, not {shorten(repr(several))}."
        raise DeclarationError(None, f"roles(…) ({authors_line()}) {message}")
    return listed


#: Any role and field, and text: what a client may set that replaces the conversation.
ANY_ROLE = roles(*_ROLES, fields=_FIELDS)
