"""Read an answer of the Messages API, event by event. Nothing here reads from the network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import define, field

from rtvi_plugins.errors import ProviderCategory, ProviderError
from rtvi_plugins.kinds import LLMPiece, Text, Thought, ToolCall, Usage

from ._request import AFTER

__all__ = ("Answer", "category_of")

#: The types of errors, which also occur in the middle of a stream, where there is no status.
_CATEGORIES: Mapping[str, ProviderCategory] = {
    "authentication_error": "auth",
    "permission_error": "auth",
    "billing_error": "quota",
    "rate_limit_error": "rate",
    "timeout_error": "timeout",
    "overloaded_error": "unavailable",
    "api_error": "unavailable",
    "invalid_request_error": "bad-request",
    "not_found_error": "bad-request",
}

#: How the codes of errors end that say that the account has reached a limit of its costs. Their type is that of too
#: many requests, but waiting does not help.
_SPENT = "spend_limit_reached"


def category_of(error: Mapping[str, Any]) -> ProviderCategory | None:
    """Return the category of an error object. None if its type is unknown."""
    match error:
        case {"details": {"error_code": str(code)}} if code.endswith(_SPENT):
            return "quota"
        case _:
            pass
    return _CATEGORIES.get(str(error.get("type")))


@define
class Answer:
    """One answer, from the data of its server-sent events. Errors of reading mean that it is malformed."""

    provider: str
    #: What comes before its thoughts.
    after: str = ""
    #: Whether the vendor has sent the end.
    done: bool = False
    #: Whether anything but a thought has come. The context has all thoughts before that, so later ones cannot go back.
    _has_begun: bool = False
    _call: dict[str, Any] = field(factory=dict[str, Any])
    _arguments: str = ""
    _usage: dict[str, Any] = field(factory=dict[str, Any])
    _model: str | None = None

    def take(self, event: Mapping[str, Any]) -> list[LLMPiece]:
        """Return the pieces of an event. Raise `ProviderError` if it reports an error or a refusal."""
        return [*self._take(event)]

    def _take(self, event: Mapping[str, Any]) -> Iterator[LLMPiece]:
        match event:
            case {"type": "message_start", "message": message}:
                self._model = message["model"]
                self._usage |= message["usage"]
            case {"type": "content_block_start", "content_block": block}:
                yield from self._start(block)
            case {"type": "content_block_delta", "delta": delta}:
                yield from self._add(delta)
            case {"type": "content_block_stop"} if self._call:
                yield ToolCall.parse(self._call["id"], self._call["name"], self._arguments or self._call["input"])
                self._call = {}
            case {"type": "message_delta", "delta": delta}:
                if delta.get("stop_reason") == "refusal":
                    raise ProviderError(self.provider, "bad-request")
                self._usage |= {name: value for name, value in event["usage"].items() if value is not None}
            case {"type": "message_stop"}:
                self.done = True
                yield self._counted()
            case {"type": "error", "error": error}:
                raise ProviderError(self.provider, category_of(error) or "unavailable")
            case _:
                event["type"]  # one without a type is malformed; other types may be added at any time

    def _start(self, block: Mapping[str, Any]) -> Iterator[LLMPiece]:
        match block:
            case {"type": "tool_use", "id": id, "name": name}:
                self._has_begun = True
                self._call, self._arguments = {"id": id, "name": name, "input": block.get("input")}, ""
            case {"type": "redacted_thinking", "data": data}:
                yield from self._end_thought({"type": "redacted_thinking", "data": data})
            case {"type": "text"}:
                self._has_begun = True
            case _:
                pass

    def _add(self, delta: Mapping[str, Any]) -> Iterator[LLMPiece]:
        match delta:
            case {"type": "text_delta", "text": text}:
                yield Text(text)
            case {"type": "thinking_delta", "thinking": text}:
                yield Thought(text)
            case {"type": "signature_delta", "signature": signature}:
                yield from self._end_thought({"type": "thinking", "signature": signature})
            case {"type": "input_json_delta", "partial_json": part}:
                self._arguments += part
            case _:
                pass

    def _end_thought(self, extra: dict[str, Any]) -> Iterator[Thought]:
        if not self._has_begun:
            yield Thought("", {**extra, AFTER: self.after})

    def _counted(self) -> Usage:
        cached = self._usage.get("cache_read_input_tokens") or 0
        written = self._usage.get("cache_creation_input_tokens") or 0
        details: Mapping[str, int] = self._usage.get("output_tokens_details") or {}
        return Usage(
            prompt_tokens=self._usage["input_tokens"] + cached + written,
            completion_tokens=self._usage["output_tokens"],
            cached_tokens=cached,
            reasoning_tokens=details.get("thinking_tokens", 0),
            model=self._model,
        )
