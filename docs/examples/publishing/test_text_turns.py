"""The turns that a vendor receives."""

from __future__ import annotations

import pytest
from rtvi_plugins import Secret
from rtvi_plugins.kinds import LLMRequest, Text
from rtvi_plugins_vendor import connect_http
from rtvi_plugins_vendor.testing import Answer, fake_vendor
from text_turns import AcmeLLM

pytestmark = pytest.mark.anyio


async def test_user_and_assistant_take_turns() -> None:
    """The bot greets first, so a user's turn is added. The result of a function and the next text are one turn."""
    order = {"id": "c1", "type": "function", "function": {"name": "order", "arguments": '{"pizza": "funghi"}'}}
    request = LLMRequest(
        [
            {"role": "system", "content": "You sell pizza."},
            {"role": "assistant", "content": "Hello!"},
            {"role": "user", "content": "A pizza, please."},
            {"role": "assistant", "content": None, "tool_calls": [order]},
            {"role": "tool", "tool_call_id": "c1", "content": "sold out"},
            {"role": "user", "content": "Well?"},
        ]
    )
    async with fake_vendor() as vendor, connect_http("acme", Secret("key-of-a-test"), base_url=vendor.url) as http:
        vendor.on("/chat", Answer(parts=[b"Sorry."]))
        assert [piece async for piece in AcmeLLM(http).respond(request)] == [Text("Sorry.")]
    assert vendor.requests[0].json == {
        "system": "You sell pizza.",
        "turns": [
            {"role": "user", "parts": [{"text": "(The conversation begins.)"}]},
            {"role": "assistant", "parts": [{"text": "Hello!"}]},
            {"role": "user", "parts": [{"text": "A pizza, please."}]},
            {"role": "assistant", "parts": [{"call": "c1", "tool": "order", "input": {"pizza": "funghi"}}]},
            {"role": "user", "parts": [{"call": "c1", "output": "sold out"}, {"text": "Well?"}]},
        ],
    }
