"""Anthropic for tests, over a real socket: the Messages API with scripted answers and every failure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from rtvi_plugins_vendor.scripts import ScriptedVendor, scripted_vendor
from rtvi_plugins_vendor.testing import FakeRequest

__all__ = ("THINKING_AND_CALLING", "USAGE", "answer", "anthropic_vendor", "block", "error", "refuse", "saying")

_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}
USAGE = {"input_tokens": 12, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20, "output_tokens": 1}


def event(type: str, **data: Any) -> bytes:
    """Return a server-sent event."""
    return f"event: {type}\ndata: {json.dumps({'type': type, **data})}\n\n".encode()


def error(type: str) -> bytes:
    """Return an error in the middle of a stream."""
    return event("error", error={"type": type, "message": "words of a vendor"})


def refuse(status: int, request: FakeRequest) -> object:
    """Return an error as Anthropic sends it. It quotes the key."""
    message = f"invalid: {request.headers.get('authorization')}"
    return {"type": "error", "error": {"type": _ERRORS[status], "message": message}, "request_id": "req_1"}


def block(index: int, begin: Mapping[str, Any], *deltas: Mapping[str, Any]) -> bytes:
    """Return the events of a whole block."""
    begun = event("content_block_start", index=index, content_block=begin)
    added = [event("content_block_delta", index=index, delta=each) for each in deltas]
    return b"".join([begun, *added, event("content_block_stop", index=index)])


def answer(*parts: bytes, stop_reason: str = "end_turn") -> list[bytes]:
    """Return an answer with these parts, which may be blocks or halves of one."""
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-small",
        "content": [],
    }
    begun = event("message_start", message={**message, "stop_reason": None, "stop_sequence": None, "usage": USAGE})
    usage = {"output_tokens": 9, "input_tokens": None, "output_tokens_details": {"thinking_tokens": 4}}
    ended = event("message_delta", delta={"stop_reason": stop_reason, "stop_sequence": None}, usage=usage)
    return [begun + event("ping") + parts[0], *parts[1:], ended + event("message_stop")]


def saying(*pieces: str, stop_reason: str = "end_turn") -> list[bytes]:
    """Return an answer in these pieces of text, each in a part of its own."""
    deltas = [event("content_block_delta", index=0, delta={"type": "text_delta", "text": each}) for each in pieces]
    begun = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    parts = [begun + deltas[0], *deltas[1:], event("content_block_stop", index=0)]
    return answer(*parts, stop_reason=stop_reason)


#: Two thoughts, of which one is hidden, a sentence, and two function calls.
THINKING_AND_CALLING = answer(
    block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "Three "},
        {"type": "thinking_delta", "thinking": "nights."},
        {"type": "signature_delta", "signature": "c2lnbmVk"},
    ),
    block(1, {"type": "redacted_thinking", "data": "aGlkZGVu"}),
    block(2, {"type": "text", "text": ""}, {"type": "text_delta", "text": "One moment."}),
    block(
        3,
        {"type": "tool_use", "id": "toolu_1", "name": "book_room", "input": {}},
        {"type": "input_json_delta", "partial_json": ""},
        {"type": "input_json_delta", "partial_json": '{"nights"'},
        {"type": "input_json_delta", "partial_json": ": 3}"},
    ),
    block(4, {"type": "tool_use", "id": "toolu_2", "name": "hang_up", "input": {}}),
    stop_reason="tool_use",
)


def anthropic_vendor(
    parts: Sequence[bytes] = (*saying("Good", " day."),),
) -> AbstractAsyncContextManager[ScriptedVendor]:
    """Run a vendor that gives this answer."""
    malformed = b'event: message_start\ndata: {"type": "message_start"}\n\n'
    return scripted_vendor("/v1/messages", parts, refuse=refuse, base="/v1", malformed=malformed)
