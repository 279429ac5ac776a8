"""Validators of messages and functions that a client or a config sets: what every vendor of LLMs would refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, cast

from ..context import Function, Message, WrappedFunction
from ..declare.message_roles import is_call
from ..utils.error_texts import shorten
from ..utils.json_values import is_array, is_object

__all__ = ("FunctionsCheck", "ResultsCheck", "TextCheck")

#: What at least one vendor accepts: Google has dots and colons, Anthropic has 128 characters.
_FUNCTION_NAME: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


class _Check:
    """A validator of a whole array, which JSON Schema cannot describe."""

    json_schema: ClassVar[Mapping[str, Any]] = {}

    def __call__(self, instance: Any, attribute: Any, value: Any) -> None:
        if (problem := next(self._problems(value or ()), None)) is not None:
            raise ValueError(problem)

    def _problems(self, value: Any) -> Iterator[str]:
        raise NotImplementedError


class ResultsCheck(_Check):
    """Each result in a conversation belongs to a call before it, and each call has a result."""

    def _problems(self, value: Sequence[Message]) -> Iterator[str]:
        waiting: dict[str, str] = {}
        for index, message in enumerate(value):
            if message["role"] == "tool" and waiting.pop(id := message.get("tool_call_id", ""), None) is None:
                yield (
                    f"[{index}].tool_call_id: no message before has the call {shorten(repr(id))}, and vendors refuse a "
                    "result without its call. Remove it, or begin with the message that has the call."
                )
            for number, call in enumerate(message.get("tool_calls") or ()):
                if is_call(call):  # `roles` refuses others
                    waiting[call["id"]] = f"[{index}].tool_calls[{number}]"
        for id, place in waiting.items():
            yield (
                f"{place}: the call {shorten(repr(id))} has no result, and vendors refuse it. Remove it, or add a "
                'message of role "tool" after it.'
            )


class TextCheck(_Check):
    """Each message of the user says something."""

    def _problems(self, value: Sequence[Message]) -> Iterator[str]:
        for index, message in enumerate(value):
            if message["role"] == "user" and _is_blank(message.get("content")):
                yield f"[{index}].content: expected a text that is not blank."


def _is_blank(content: object) -> bool:
    if is_array(content):
        return all(is_object(part) and _is_blank(part.get("text")) for part in content)
    return isinstance(content, str) and not content.strip()


class FunctionsCheck(_Check):
    """Functions have different names that a vendor accepts, and parameters of type object."""

    def _problems(self, value: Sequence[Function | WrappedFunction]) -> Iterator[str]:
        names: dict[str, int] = {}
        for index, each in enumerate(value):
            function = cast(Function, each.get("function", each))
            name = function["name"]
            if _FUNCTION_NAME.fullmatch(name) is None:
                yield (
                    f"[{index}].name: no vendor accepts {shorten(repr(name))}. A name has at most 64 letters A to Z, "
                    "digits, '_' and '-'."
                )
            if names.setdefault(name, index) != index:
                yield f"[{index}].name: {name!r} is the name of the function [{names[name]}] already."
            type = function.get("parameters", {}).get("type", "object")
            types = [str(one).lower() for one in type] if is_array(type) else [str(type).lower()]
            if "object" not in types:  # a config for Google has "OBJECT"
                yield f"[{index}].parameters.type: expected 'object', got {shorten(repr(type))}."
