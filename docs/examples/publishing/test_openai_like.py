"""A bot talks to a fake with OpenAI's chat API."""

from __future__ import annotations

import json

import openai_like
import pytest
from rtvi_plugins import LLM, Session, bot, converse
from rtvi_plugins.testing import connect
from rtvi_plugins_vendor.testing import Answer, fake_vendor

pytestmark = pytest.mark.anyio

CHUNKS = [{"choices": [{"index": 0, "delta": {"content": each}}]} for each in ("Hello ", "there.")]
LINES = [*(f"data: {json.dumps(each)}\n\n".encode() for each in CHUNKS), b"data: [DONE]\n\n"]
ANSWER = Answer(parts=LINES, headers={"content-type": "text/event-stream"})


@bot(services={"llm": "acme"}, client=["llm.model"])
async def desk(session: Session, /, llm: LLM) -> None:
    """Answer by text."""
    await converse(session, llm=llm)


async def test_it_answers_with_the_model_of_the_client() -> None:
    """The request has the form of OpenAI's API."""
    async with fake_vendor() as vendor:
        vendor.on("/chat/completions", ANSWER)
        operator = {"service_options": {"llm.acme": {"base_url": vendor.url}}}
        async with connect(desk, openai_like, api_keys={"acme": "key-of-a-test"}, operator=operator) as client:
            await client.update_config({"llm": {"model": "storm"}})
            assert await client.ask("Hello?") == "Hello there."
    sent = vendor.requests[0].json
    assert (sent["model"], sent["temperature"], sent["messages"]) == (
        "storm",
        0.5,
        [{"role": "user", "content": "Hello?"}],
    )
