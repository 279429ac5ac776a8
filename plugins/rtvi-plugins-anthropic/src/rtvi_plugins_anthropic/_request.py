"""Make the body of a request to the Messages API: the conversation, functions and options in its fields."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import takewhile
from typing import Any, Final, TypeAlias

import orjson
from attrs import define, field

from rtvi_plugins.context import Function, Message
from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import LLMRequest, Thought, thoughts_of
from rtvi_plugins_vendor import arguments_of, in_turns, text_of

__all__ = ("AFTER", "body")

Block: TypeAlias = "dict[str, Any]"

#: The field of a thought's `extra` that says what came before it.
AFTER: Final = "after"

_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_CHOICES = {"none": "none", "auto": "auto", "required": "any"}


def body(provider: str, request: LLMRequest, model: str, fields: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the JSON object to send, and what its thoughts come `AFTER`.

    Fields that are None are omitted, and none replaces a field of the framework. Raise `ProviderError` for a part of a
    message that is neither text nor an image.
    """
    conversation = _Conversation(provider)
    conversation.begin(request)
    system, turns = in_turns(request.messages, conversation.blocks, _text)
    sent = {**fields, "model": model, "stream": True, "system": system or None}
    sent["messages"] = [{"role": role, "content": blocks} for role, blocks in turns]
    if request.functions:
        sent["tools"] = [_tool(each) for each in request.functions]
        if request.tool_choice is not None:
            type = _CHOICES.get(request.tool_choice)
            sent["tool_choice"] = {"type": type} if type else {"type": "tool", "name": request.tool_choice}
    if request.answer_schema is not None:
        format = {"type": "json_schema", "schema": dict(request.answer_schema)}
        sent["output_config"] = {**(fields.get("output_config") or {}), "format": format}
    return {name: value for name, value in sent.items() if value is not None}, conversation.digest


def _tool(function: Function) -> dict[str, Any]:
    schema = function.get("parameters", {"type": "object", "properties": {}})
    description = {"description": function["description"]} if "description" in function else {}
    return {"name": function["name"], **description, "input_schema": schema}


# ---- the conversation ------------------------------------------------------------------------------------------------


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


@define
class _Conversation:
    """The blocks of the messages, in their order.

    The vendor refuses a thought if anything before it has changed, such as the system prompt or the functions, and with
    it the whole request. So a thought only goes back if all before it is the same as when the thought was written.
    """

    provider: str
    _before: Any = field(factory=sha256, init=False)
    _role: str = field(default="", init=False)

    @property
    def digest(self) -> str:
        return str(self._before.hexdigest()[:16])

    def begin(self, request: LLMRequest) -> None:
        """Note what comes before all messages but the system's."""
        prompt = takewhile(lambda each: each["role"] in ("system", "developer"), request.messages)
        self._note([list(request.functions), [each["content"] for each in prompt]])

    def blocks(self, message: Message) -> list[Block]:
        """Return the blocks of the next message."""
        role = message["role"]
        # Two answers that follow each other are one for the vendor, so the second was written after other messages.
        thoughts = self._thoughts(message) if role == "assistant" != self._role else []
        blocks = [*thoughts, *_blocks(self.provider, message)]
        if blocks:
            self._role = role
            self._note([role, blocks])
        return blocks

    def _thoughts(self, message: Message) -> list[Block]:
        found = [each for each in thoughts_of(message) if each.extra]
        return [_thought(each) for each in found if each.extra.get(AFTER, self.digest) == self.digest]

    def _note(self, what: Sequence[Any]) -> None:
        self._before.update(orjson.dumps(what, default=str))


def _blocks(provider: str, message: Message) -> list[Block]:
    """Return the blocks of a message, without its thoughts."""
    if message["role"] == "tool":
        result = {"type": "tool_result", "tool_use_id": _id(message.get("tool_call_id"))}
        return [{**result, "content": text_of(message["content"])}]
    return [*_parts(provider, message["content"]), *map(_call, message.get("tool_calls", []))]


def _thought(thought: Thought) -> Block:
    """Return a thought as the vendor has sent it. Its signature is in `extra`, and a hidden one has no text."""
    block = {name: value for name, value in thought.extra.items() if name != AFTER}
    return block if block.get("type") == "redacted_thinking" else {**block, "thinking": thought.text}


def _parts(provider: str, content: str | list[dict[str, Any]] | None) -> list[Block]:
    parts = [_text(content)] if isinstance(content, str) else content or []
    return [_part(provider, each) for each in parts if each.get("type") != "text" or str(each.get("text", "")).strip()]


def _part(provider: str, part: Mapping[str, Any]) -> Block:
    match part:
        case {"type": "text", "text": text}:
            return _text(text)
        case {"type": "image_url", "image_url": {"url": str(url)}}:
            kind, _, data = url.removeprefix("data:").partition(";base64,")
            embedded = {"type": "base64", "media_type": kind, "data": data}
            return {"type": "image", "source": embedded if data else {"type": "url", "url": url}}
        case _:
            raise ProviderError(provider, "bad-request")


def _call(call: Mapping[str, Any]) -> Block:
    """Return a call. Models invent names of functions, and other vendors' ids have other characters."""
    function: Mapping[str, Any] = call.get("function", {})
    name = _NOT_IN_A_NAME.sub("_", str(function.get("name") or "unnamed"))[:128]
    return {"type": "tool_use", "id": _id(call.get("id")), "name": name, "input": arguments_of(call)}


def _id(id: object) -> str:
    return _NOT_IN_A_NAME.sub("_", str(id))
