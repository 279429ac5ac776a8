"""Anthropic's SDK reads the fake of Anthropic, and knows every field that our provider sends."""

from __future__ import annotations

from typing import Any

import pytest

from rtvi_plugins.context import MessageWithThoughts
from rtvi_plugins.kinds import LLMRequest
from rtvi_plugins.session import Secret
from rtvi_plugins_anthropic.llm import anthropic_llm, configure

from .official import fake_of, sdk

pytestmark = pytest.mark.anyio

fake = fake_of("rtvi-plugins-anthropic", "anthropic_vendor")
KEY = Secret("key-of-a-test")
SCHEMA = {"type": "object", "properties": {"nights": {"type": "integer"}}}
BOOK: Any = {"name": "book_room", "description": "Books.", "parameters": SCHEMA}
HELLO: Any = {"model": "claude-x", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "Hi"}]}


def conversation() -> list[Any]:
    """Return messages of every kind."""
    function = {"name": "book_room", "arguments": '{"nights": 3}'}
    calls = [{"id": "toolu_1", "type": "function", "function": function}]
    thought: dict[str, Any] = {"text": "Three.", "extra": {"type": "thinking", "signature": "c2lnbmVk"}}
    hidden: dict[str, Any] = {"text": "", "extra": {"type": "redacted_thinking", "data": "aGlkZGVu"}}
    thinking: MessageWithThoughts = {
        "role": "assistant",
        "content": "One moment.",
        "tool_calls": calls,
        "thoughts": [thought, hidden],
    }
    images = ["https://example.org/cat.png", "data:image/png;base64,AAAA"]
    parts = [{"type": "image_url", "image_url": {"url": each}} for each in images]
    return [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Three nights."}, *parts]},
        thinking,
        {"role": "tool", "content": "Done.", "tool_call_id": "toolu_1"},
    ]


async def test_a_whole_request_and_an_answer() -> None:
    """The request has every option, every form of message and every kind of block."""
    async with fake.anthropic_vendor(fake.THINKING_AND_CALLING) as vendor:
        async with anthropic_llm(KEY, **vendor.service_options) as llm:
            configure(llm, "claude-x", 100, "low", "adaptive", "1h", {"stop_sequences": ["END"]})
            async for _ in llm.respond(LLMRequest(conversation(), [BOOK], "book_room", SCHEMA)):
                pass
        ours = vendor.vendor.requests[0]
        (read,) = await sdk("check_anthropic.py", vendor.vendor.url, given=ours.json)
        theirs = vendor.vendor.requests[-1]
    assert read["misfits"] == []
    assert (theirs.path, theirs.json) == (ours.path, ours.json)
    for header in ("authorization", "anthropic-version", "content-type"):
        assert theirs.headers[header] == ours.headers[header]
    message = read["message"]
    assert [each["type"] for each in message["content"]] == [
        *["thinking", "redacted_thinking", "text", "tool_use", "tool_use"]
    ]
    assert message["content"][0]["thinking"] == "Three nights."
    assert message["content"][0]["signature"] == "c2lnbmVk"
    assert [each["input"] for each in message["content"][3:]] == [{"nights": 3}, {}]
    usage = message["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["cache_read_input_tokens"]) == (12, 9, 100)
    assert usage["output_tokens_details"] == {"thinking_tokens": 4}


async def test_errors() -> None:
    """The SDK has an exception for each refusal, and for an error in the stream."""
    async with fake.anthropic_vendor([fake.saying("Well")[0], fake.error("overloaded_error")]) as vendor:
        vendor.script("401", "402", "429", "400", "500", "answer")
        read = await sdk("check_anthropic.py", vendor.vendor.url, "6", given=HELLO)
    assert [each["error"] for each in read] == [
        ["AuthenticationError", 401],
        ["PaymentRequiredError", 402],
        ["RateLimitError", 429],
        ["BadRequestError", 400],
        ["InternalServerError", 500],
        ["APIStatusError", 200],
    ]
