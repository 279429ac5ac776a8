"""The body of a request: our messages, functions and options in the vendor's fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rtvi_plugins.context import Function, Message
from rtvi_plugins.kinds import LLMRequest

__all__ = ("body",)

_MESSAGE_FIELDS = ("role", "content", "name", "tool_calls", "tool_call_id")
_NO_ARGUMENTS: Mapping[str, Any] = {"type": "object", "properties": {}}


def body(request: LLMRequest, model: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object to send. A field that is None is left out; none replaces what the framework decides."""
    wanted = {"stream_options": {"include_usage": True}, **fields}
    wanted |= {"model": model, "messages": [_message(each) for each in request.messages], "stream": True}
    if request.functions:
        wanted["tools"] = [_tool(each) for each in request.functions]
    return {name: value for name, value in wanted.items() if value is not None}


def _message(message: Message) -> dict[str, Any]:
    sent = {name: value for name, value in message.items() if name in _MESSAGE_FIELDS}
    # Every vendor knows "system", and OpenAI's newer models read it as "developer"; the reverse does not hold.
    return {**sent, "role": "system"} if message["role"] == "developer" else sent


def _tool(function: Function) -> dict[str, Any]:
    return {"type": "function", "function": {"parameters": _NO_ARGUMENTS, **function}}
