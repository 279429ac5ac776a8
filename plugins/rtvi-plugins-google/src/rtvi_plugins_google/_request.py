"""Make the body of a request to `streamGenerateContent`: the conversation, functions and options in its fields."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from rtvi_plugins.context import Function, Message
from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import LLMRequest, thoughts_of
from rtvi_plugins_vendor import arguments_of, in_turns, text_of

__all__ = ("body", "declarations", "names_of", "parts_of", "text_part")

Part: TypeAlias = "dict[str, Any]"

_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_.:-]")
_MODES = {"none": "NONE", "auto": "AUTO", "required": "ANY"}
#: The documented signature of a call that another model has made. Newer models refuse calls without a signature.
_FOREIGN = "skip_thought_signature_validator"


def body(
    provider: str, request: LLMRequest, generation: Mapping[str, Any], fields: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the JSON object to send. Fields that are None are omitted, and none replaces a field of the framework.

    `generation` are fields of `generationConfig`, and `fields` those beside it. Raise `ProviderError` for a part of a
    message that is neither text nor an embedded image.
    """
    system, turns = in_turns(request.messages, partial(parts_of, provider, names_of(request.messages)), text_part)
    config = {name: value for name, value in generation.items() if value is not None}
    if request.answer_schema is not None:
        config |= {"responseMimeType": "application/json", "responseJsonSchema": dict(request.answer_schema)}
    sent = {**fields, "generationConfig": config or None}
    sent["systemInstruction"] = {"parts": [text_part(system)]} if system else None
    sent["contents"] = [{"role": "user" if role == "user" else "model", "parts": parts} for role, parts in turns]
    if request.functions:
        sent["tools"] = declarations(request.functions)
        if request.tool_choice is not None:
            sent["toolConfig"] = {"functionCallingConfig": _choice(request.tool_choice)}
    return {name: value for name, value in sent.items() if value is not None}


def declarations(functions: Sequence[Function], **fields: str) -> list[dict[str, Any]]:
    """Return the tools of a request. Without functions there are none. Each function also gets these fields."""
    declared = [{**_declaration(each), **fields} for each in functions]
    return [{"functionDeclarations": declared}] if declared else []


def _declaration(function: Function) -> dict[str, Any]:
    schema = {"parametersJsonSchema": function["parameters"]} if "parameters" in function else {}
    description = {"description": function["description"]} if "description" in function else {}
    return {"name": function["name"], **description, **schema}


def _choice(choice: str) -> dict[str, Any]:
    return {"mode": _MODES[choice]} if choice in _MODES else {"mode": "ANY", "allowedFunctionNames": [choice]}


# ---- the conversation ------------------------------------------------------------------------------------------------


def text_part(text: str) -> Part:
    """Return the part of a text."""
    return {"text": text}


def names_of(messages: Sequence[Message]) -> dict[str, str]:
    """Return the names of the called functions by the ids of the calls. A result must repeat the name."""
    return {each["id"]: _name(each) for message in messages for each in message.get("tool_calls", [])}


def _name(call: Mapping[str, Any]) -> str:
    """Return a valid name. Models invent functions."""
    function: Mapping[str, Any] = call.get("function", {})
    return _NOT_IN_A_NAME.sub("_", str(function.get("name") or "unnamed"))[:128]


def parts_of(provider: str, names: Mapping[str, str], message: Message) -> list[Part]:
    """Return the parts of a message. `names` has the names of functions by the ids of calls."""
    if message["role"] == "tool":
        id = message.get("tool_call_id", "")
        response = {"id": id, "name": names.get(id, "unnamed"), "response": {"output": text_of(message["content"])}}
        return [{"functionResponse": response}]
    content = message["content"]
    said = [text_part(content)] if isinstance(content, str) else [_part(provider, each) for each in content or []]
    signatures = [{"text": "", "thoughtSignature": each.extra["signature"]} for each in _signed(message)]
    said = [each for each in said if "text" not in each or each["text"].strip()]
    return [*said, *signatures, *_calls(message)]


def _signed(message: Message) -> Sequence[Any]:
    return [each for each in thoughts_of(message) if "signature" in each.extra]


def _part(provider: str, part: Mapping[str, Any]) -> Part:
    match part:
        case {"type": "text", "text": text}:
            return text_part(text)
        case {"type": "image_url", "image_url": {"url": str(url)}} if url.startswith("data:"):
            type, _, data = url.removeprefix("data:").partition(";base64,")
            return {"inlineData": {"mimeType": type, "data": data}}
        case _:
            raise ProviderError(provider, "bad-request")


def _calls(message: Message) -> Iterator[Part]:
    for number, call in enumerate(message.get("tool_calls", [])):
        part: Part = {"functionCall": {"id": call["id"], "name": _name(call), "args": arguments_of(call)}}
        own = call.get("extra")
        if own is None and not number:  # only the first of several calls has a signature
            part["thoughtSignature"] = _FOREIGN
        elif own and own.get("signature"):
            part["thoughtSignature"] = own["signature"]
        yield part
