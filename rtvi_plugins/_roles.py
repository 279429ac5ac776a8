"""The validator `roles`: which messages a client may put into the conversation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

from ._json import clip, is_array, is_object, kind
from .context import Message, Role

__all__ = ("ANY_ROLE", "roles")

#: The fields that every message has.
_PLAIN = ("role", "content")

_FIELDS = tuple(name for name in Message.__annotations__ if name not in _PLAIN)
_ROLES: tuple[str, ...] = get_args(Role)


class roles:  # noqa: N801 - a validator, spelled as attrs spells its own
    """A validator of messages: only these roles, each message with text and nothing else.

    `Grant("llm:append_to_messages", arguments={"messages": roles("user", "system")})`

    `content` may be a string or a list of text parts. `parts` names further types of content parts to accept, as in
    `parts=["image_url"]`, and `fields` further fields of a message, as in `fields=["name", "tool_calls"]`. The LLM's
    vendor is sent what they hold, and may fetch the addresses in it. `ValueError` for a name that is none.
    """

    def __init__(self, *allowed: str, parts: Iterable[str] = (), fields: Iterable[str] = ()) -> None:
        self.allowed = allowed
        self.parts = _listed(parts)
        self.fields = _listed(fields)
        for what, names, known in (("role", allowed, _ROLES), ("field", self.fields, _FIELDS)):
            if unknown := [each for each in names if each not in known]:
                raise ValueError(f"{unknown[0]!r} is no {what} of a message; there is {', '.join(known)}.")
        self.json_schema = self._schema()

    def __repr__(self) -> str:
        more = [f"{name}={list(value)}" for name, value in (("parts", self.parts), ("fields", self.fields)) if value]
        return f"roles({', '.join((*map(repr, self.allowed), *more))})"

    def __call__(self, instance: Any, attribute: Any, value: Any) -> None:
        messages: Sequence[Mapping[str, Any]] = value or ()
        refused = {str(message.get("role")) for message in messages} - set(self.allowed)
        if refused:
            raise ValueError(
                f"messages may have the role {' or '.join(self.allowed)}, not {', '.join(sorted(refused))}"
            )
        for index, message in enumerate(messages):
            for problem in self._problems(message):
                raise ValueError(f"[{index}]{problem}")

    def _problems(self, message: Mapping[str, Any]) -> Iterator[str]:
        granted = (*_PLAIN, *self.fields)
        yield from (f".{name}: a message may have {', '.join(granted)} only" for name in message if name not in granted)
        content = message.get("content")
        if is_array(content):
            yield from (
                f".content[{index}]{problem}" for index, each in enumerate(content) if (problem := self._part(each))
            )
        elif not isinstance(content, str) and not (content is None and message.get("tool_calls")):
            yield f".content: expected text, got {kind(content)}"

    def _part(self, part: Any) -> str | None:
        """What is wrong with a part of a message's content."""
        type = part.get("type") if is_object(part) else None
        if type == "text":
            fits = isinstance(part.get("text"), str) and part.keys() == {"type", "text"}
            return None if fits else ": a text part has a type and a text, and nothing else"
        if isinstance(type, str) and type in self.parts:
            return None
        return f".type: parts may have the type {' or '.join(('text', *self.parts))}, not {clip(repr(type))}"

    def _schema(self) -> dict[str, Any]:
        """What clients are told."""
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
        refused = {name: False for name in _FIELDS if name not in self.fields}
        return {
            "items": {"properties": {"role": {"enum": list(self.allowed)}, "content": {"anyOf": content}, **refused}}
        }


def _listed(names: Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


#: Any role and field, and text: what a client may set that replaces the conversation.
ANY_ROLE = roles(*_ROLES, fields=_FIELDS)
