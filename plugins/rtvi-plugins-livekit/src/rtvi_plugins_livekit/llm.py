"""A LiveKit LLM as a provider."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from importlib import import_module
from typing import Any, ClassVar, cast

from rtvi_plugins.context import Function
from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text, ToolCall, Usage

from .running import Bridged, shielded

__all__ = ("BridgedLLM",)

_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}


class BridgedLLM(Bridged):
    """Answers with a LiveKit LLM."""

    #: The vendor stops when its response is closed.
    LEAVES_BY_CLOSING: ClassVar[bool] = False

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Stream the answer."""
        if request.answer_schema is not None:  # LiveKit has no field for it that all plugins read
            raise ProviderError(self.provider, "bad-request")
        usage: Any = None
        async with self.use() as llm:
            stream = self.call(
                llm.chat,
                chat_ctx=_chat(request),
                tools=_tools(request.functions),
                conn_options=self.connection(),
                **_choice(request.tool_choice),
            )
            try:
                async with aclosing(self.within(stream)) as chunks:
                    async for chunk in chunks:
                        usage = chunk.usage or usage
                        for piece in _pieces(chunk):
                            yield piece
            finally:
                await shielded(stream.aclose)
            if usage is not None:
                yield _usage(usage, llm.model)


def _pieces(chunk: Any) -> list[LLMPiece]:
    if chunk.delta is None:
        return []
    text = [Text(chunk.delta.content)] if chunk.delta.content else []
    calls = [
        ToolCall.parse(each.call_id, each.name, each.arguments, extra=getattr(each, "extra", None) or {})
        for each in chunk.delta.tool_calls
    ]
    return [*text, *calls]


def _usage(usage: Any, model: str) -> Usage:
    return Usage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=getattr(usage, "prompt_cached_tokens", 0),
        reasoning_tokens=getattr(usage, "reasoning_tokens", 0),
        model=model,
    )


def _choice(choice: str | None) -> dict[str, Any]:
    if choice is None:
        return {}
    named = {"type": "function", "function": {"name": choice}}
    return {"tool_choice": choice if choice in ("none", "auto", "required") else named}


def _tools(functions: Sequence[Function]) -> list[Any]:
    lk: Any = import_module("livekit.agents.llm")
    return [
        lk.function_tool(_not_called, raw_schema={"description": "", "parameters": _NO_PARAMETERS, **each})
        for each in functions
    ]


async def _not_called(raw_arguments: dict[str, object]) -> None:
    """Do nothing: the framework runs the calls."""


def _chat(request: LLMRequest) -> Any:
    """Return the conversation in LiveKit's form."""
    lk: Any = import_module("livekit.agents.llm")
    chat = lk.ChatContext.empty()
    names: dict[str, str] = {}
    for message in cast("Sequence[dict[str, Any]]", request.messages):
        if message["role"] == "tool":
            call = message.get("tool_call_id", "")
            output = str(message["content"])
            chat.items.append(
                lk.FunctionCallOutput(call_id=call, name=names.get(call, ""), output=output, is_error=False)
            )
            continue
        if message.get("content"):
            chat.add_message(role=message["role"], content=_content(lk, message["content"]))
        for each in message.get("tool_calls") or ():
            name, arguments = each["function"]["name"], each["function"]["arguments"]
            names[each["id"]] = name
            extra = {"extra": each["extra"]} if each.get("extra") else {}
            chat.items.append(lk.FunctionCall(call_id=each["id"], name=name, arguments=arguments, **extra))
    return chat


def _content(lk: Any, content: Any) -> list[Any]:
    if isinstance(content, str):
        return [content]
    return [
        each["text"] if each.get("type") == "text" else lk.ImageContent(image=each["image_url"]["url"])
        for each in content
    ]
