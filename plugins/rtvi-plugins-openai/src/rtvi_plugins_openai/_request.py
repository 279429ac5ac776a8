"""Make the body of a request: messages, functions and options in the vendor's fields."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Any

from rtvi_plugins.context import Function, Message
from rtvi_plugins.kinds import LLMRequest

from ._json import object_of, text
from ._reasoning import given_back
from ._roles import alternating

__all__ = ("body",)

_MESSAGE_FIELDS = ("role", "content", "name", "tool_calls", "tool_call_id")
_CALL_FIELDS = ("id", "type", "function")
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_NO_ARGUMENTS: Mapping[str, Any] = {"type": "object", "properties": {}}


def body(
    vendor: str, request: LLMRequest, model: str, fields: Mapping[str, Any], *, alternate: bool = False
) -> dict[str, Any]:
    """Return the JSON object to send. Fields that are None are omitted, and none replaces a field of the framework.

    With `alternate`, the roles user and assistant alternate.
    """
    names = {each["name"] for each in request.functions}
    messages = [_message(vendor, each, names) for each in request.messages]
    wanted = {"stream_options": {"include_usage": True}, **fields}
    wanted |= {"model": model, "messages": alternating(messages) if alternate else messages, "stream": True}
    if request.functions:
        wanted["tools"] = [_tool(each) for each in request.functions]
        if request.tool_choice is not None:
            wanted["tool_choice"] = _choice(request.tool_choice)
    if request.answer_schema is not None:
        schema = {"name": "answer", "schema": dict(request.answer_schema)}
        wanted["response_format"] = {"type": "json_schema", "json_schema": schema}
    return {name: value for name, value in wanted.items() if value is not None}


def _message(vendor: str, message: Message, names: Container[str]) -> dict[str, Any]:
    sent: dict[str, Any] = {name: value for name, value in message.items() if name in _MESSAGE_FIELDS}
    if calls := sent.get("tool_calls"):
        sent |= given_back(vendor, calls, "message")
        sent["tool_calls"] = [{**_call(each, names), **given_back(vendor, [each], "call")} for each in calls]
    # Every vendor knows "system", and OpenAI's newer models read it as "developer". Not all vendors know "developer".
    return {**sent, "role": "system"} if message["role"] == "developer" else sent


def _call(call: Mapping[str, Any], names: Container[str]) -> Mapping[str, Any]:
    """Return a call with a valid name. Models invent functions, whose names vendors then reject in a request."""
    function = object_of(call.get("function"))
    name = text(function.get("name"))
    sent = {name: value for name, value in call.items() if name in _CALL_FIELDS}
    if name in names:
        return sent
    return {**sent, "function": {**function, "name": _NOT_IN_A_NAME.sub("_", name)[:64] or "unnamed"}}


def _choice(choice: str) -> str | dict[str, Any]:
    return choice if choice in ("none", "auto", "required") else {"type": "function", "function": {"name": choice}}


def _tool(function: Function) -> dict[str, Any]:
    return {"type": "function", "function": {"parameters": _NO_ARGUMENTS, **function}}
