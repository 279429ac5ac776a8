"""Test the provider with a fake of Acme."""

from __future__ import annotations

import gc
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from rtvi_plugins import ProviderError, RequestError, Secret
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text, ToolCall, Usage
from rtvi_plugins.testing import connect
from rtvi_plugins_vendor.testing import Answer, FakeVendor, fake_vendor

import rtvi_plugins_acme.llm
from bot import pizzeria
from rtvi_plugins_acme.llm import AcmeLLM, acme_llm, configure, list_models

pytestmark = pytest.mark.anyio

REQUEST = LLMRequest([{"role": "user", "content": "Hello?"}])
ANSWER = [{"text": "Hello "}, {"text": "there."}, {"tokens_in": 3, "tokens_out": 2}]


@asynccontextmanager
async def acme(*answer: object, status: int = 200) -> AsyncGenerator[tuple[FakeVendor, AcmeLLM]]:
    """Run a fake of Acme's server, and yield it with a connection to it."""
    lines = [f"{json.dumps(each)}\n".encode() for each in answer]
    async with fake_vendor() as vendor, acme_llm(Secret("key-of-a-test"), base_url=vendor.url) as llm:
        vendor.on("/chat", Answer(status, parts=lines))
        vendor.on("/models", Answer(status, json=["acme-small", "acme-large"]))
        yield vendor, llm


async def pieces(stream: AsyncGenerator[LLMPiece]) -> list[LLMPiece]:
    """Return all pieces of an answer."""
    return [piece async for piece in stream]


async def test_the_answer_streams() -> None:
    """Each line becomes a piece."""
    async with acme(*ANSWER) as (_, llm):
        assert await pieces(llm.respond(REQUEST)) == [Text("Hello "), Text("there."), Usage(3, 2)]


async def test_an_answer_can_be_interrupted() -> None:
    """Acme learns it at once. Nothing is left to the garbage collector: on trio, that would be a warning."""
    async with acme(*ANSWER) as (vendor, llm):
        vendor.on("/chat", Answer(parts=[b'{"text": "Hello "}\n'], end="hang"))
        stream = llm.respond(REQUEST)
        assert await anext(stream) == Text("Hello ")
        await stream.aclose()
        gc.collect()
        assert await vendor.requests[0].outcome() == "left"


async def test_a_function_call_is_a_piece() -> None:
    """It keeps the id of the vendor."""
    call = {"call": {"id": "c1", "name": "order", "arguments": {"pizza": "funghi"}}}
    async with acme(call, ANSWER[-1]) as (_, llm):
        assert await pieces(llm.respond(REQUEST)) == [ToolCall("c1", "order", {"pizza": "funghi"}), Usage(3, 2)]


async def test_the_vendor_receives_the_options() -> None:
    """A decorated function is still a plain function."""
    async with acme(*ANSWER) as (vendor, llm):
        configure(llm, model="acme-large", temperature=0.2)
        await pieces(llm.respond(REQUEST))
    assert vendor.requests[0].headers["authorization"] == "Bearer key-of-a-test"
    assert vendor.requests[0].json == {
        "model": "acme-large",
        "temperature": 0.2,
        "messages": [{"role": "user", "content": "Hello?"}],
        "functions": [],
    }


@pytest.mark.parametrize(
    ("status", "category", "retryable"), [(401, "auth", False), (429, "rate", True), (500, "unavailable", True)]
)
async def test_a_failure_has_a_category(status: int, category: str, retryable: bool) -> None:
    """The category determines whether a retry makes sense."""
    async with acme(status=status) as (_, llm):
        with pytest.raises(ProviderError) as failed:
            await pieces(llm.respond(REQUEST))
    assert (failed.value.category, failed.value.retryable) == (category, retryable)


async def test_it_lists_its_models() -> None:
    """An action is a plain function too."""
    async with acme() as (_, llm):
        assert await list_models(llm) == ["acme-small", "acme-large"]


async def test_a_client_configures_the_bot() -> None:
    """The bot checks and sets the client's values. It sends no request to Acme, so any key will do."""
    keys = {"acme": "key-of-a-test"}
    async with connect(pizzeria, rtvi_plugins_acme.llm, services={"llm": "acme"}, api_keys=keys) as client:
        config = await client.update_config({"llm": {"model": "acme-large"}})
        assert config.values["llm"]["model"] == "acme-large"
        with pytest.raises(RequestError, match="temperature"):
            await client.update_config({"llm": {"temperature": 0.1}})
