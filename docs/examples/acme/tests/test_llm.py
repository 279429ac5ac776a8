"""Test the LLM with a fake of Acme: a real server on loopback."""

from __future__ import annotations

import gc
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from llm_vendor import ANSWER, CALL, CHAT, FAULT, HALF, MODELS, ROUTES, UNKNOWN
from rtvi_plugins import LLM, ProviderError, RequestError, Secret, Session, bot, converse
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text, ToolCall, Usage
from rtvi_plugins.testing import connect
from rtvi_plugins_vendor.testing import Answer, FakeVendor, fake_vendor

import rtvi_plugins_acme.llm as provider

pytestmark = pytest.mark.anyio

REQUEST = LLMRequest([{"role": "user", "content": "Hello?"}])
NO_JSON = Answer(parts=[b"data: no JSON\n\n"], headers=ANSWER.headers)


@asynccontextmanager
async def opened(answer: Answer) -> AsyncGenerator[tuple[provider.AcmeLLM, FakeVendor]]:
    """Open the provider at a vendor that gives this answer. Its options have their defaults."""
    async with fake_vendor() as vendor:
        for path, script in {**ROUTES, CHAT: answer}.items():
            vendor.on(path, script)
        async with provider.acme_llm(Secret("key-of-a-test"), base_url=vendor.url) as llm:
            provider.configure(llm)
            yield llm, vendor


async def pieces(stream: AsyncGenerator[LLMPiece]) -> list[LLMPiece]:
    """Return all pieces of an answer."""
    return [piece async for piece in stream]


async def test_the_answer_streams() -> None:
    """Each event becomes a piece."""
    async with opened(ANSWER) as (llm, _):
        assert await pieces(llm.respond(REQUEST)) == [Text("Hello "), Text("there."), Usage(3, 2)]


async def test_an_interruption_closes_the_connection() -> None:
    """So Acme stops too. Nothing is left to the garbage collector: on trio, that would be a warning."""
    async with opened(Answer(parts=ANSWER.parts[:1], headers=ANSWER.headers, end="hang")) as (llm, vendor):
        stream = llm.respond(REQUEST)
        assert await anext(stream) == Text("Hello ")
        await stream.aclose()
        gc.collect()
        assert await vendor.requests[0].outcome() == "left"


async def test_a_function_call_is_a_piece() -> None:
    """It keeps the id of the vendor."""
    async with opened(CALL) as (llm, _):
        assert await pieces(llm.respond(REQUEST)) == [ToolCall("c1", "order", {"pizza": "funghi"}), Usage(3, 2)]


async def test_the_vendor_receives_the_options() -> None:
    """A decorated function is still a plain function. An option without a value is not sent."""
    async with opened(ANSWER) as (llm, vendor):
        provider.configure(llm, model="storm", temperature=0.2)
        await pieces(llm.respond(REQUEST))
    assert vendor.requests[0].headers["x-acme-key"] == "key-of-a-test"
    assert vendor.requests[0].json == {
        "model": "storm",
        "temperature": 0.2,
        "turns": [{"role": "user", "content": "Hello?"}],
        "tools": [],
    }


async def test_a_fault_within_an_answer_has_a_category() -> None:
    """Acme reports it with the status 200."""
    async with opened(FAULT) as (llm, _):
        with pytest.raises(ProviderError) as failed:
            await pieces(llm.respond(REQUEST))
    assert failed.value.category == "quota"


@pytest.mark.parametrize(("status", "category"), [(401, "auth"), (402, "quota"), (400, "bad-request")])
async def test_a_refusal_has_a_category(status: int, category: str) -> None:
    """The category determines whether a retry makes sense."""
    async with opened(Answer(status)) as (llm, _):
        with pytest.raises(ProviderError) as failed:
            await pieces(llm.respond(REQUEST))
    assert failed.value.category == category


@pytest.mark.parametrize("answer", [UNKNOWN, NO_JSON, HALF])
async def test_an_answer_that_is_not_understood_is_a_failure(answer: Answer) -> None:
    """So is an answer that a proxy ends too early. The vendor has failed; the provider has no bug."""
    async with opened(answer) as (llm, _):
        with pytest.raises(ProviderError, match="acme"):
            await pieces(llm.respond(REQUEST))


async def test_it_lists_its_models() -> None:
    """An action is a plain function too."""
    async with opened(ANSWER) as (llm, _):
        assert await provider.list_models(llm) == ["breeze", "storm"]


async def test_it_shows_its_credit() -> None:
    """The credit is in dollars."""
    async with opened(ANSWER) as (llm, _):
        assert await provider.show_credit(llm) == 4.5


async def test_a_wrong_key_is_refused() -> None:
    """`rtvi run` checks the key at its start."""
    async with opened(ANSWER) as (llm, vendor):
        await llm.check_key()
        vendor.on(MODELS, Answer(401))
        with pytest.raises(ProviderError) as failed:
            await llm.check_key()
    assert failed.value.category == "auth"


async def test_a_request_for_json_is_refused() -> None:
    """The caller parses the answer as JSON, whatever it is."""
    async with opened(ANSWER) as (llm, vendor):
        with pytest.raises(ProviderError) as failed:
            await pieces(llm.respond(LLMRequest(REQUEST.messages, answer_schema={"type": "object"})))
    assert (failed.value.category, vendor.requests) == ("bad-request", [])


@bot(services={"llm": "acme"}, client=["llm.model"])
async def assistant(session: Session, /, llm: LLM) -> None:
    """Answer by text."""
    await converse(session, llm=llm)


async def test_a_client_configures_the_bot() -> None:
    """The bot checks and sets the client's values. It sends no request to Acme, so any key will do."""
    keys = {"acme": "key-of-a-test"}
    async with connect(assistant, provider, api_keys=keys) as client:
        config = await client.update_config({"llm": {"model": "large"}})
        assert config.values["llm"]["model"] == "large"
        with pytest.raises(RequestError, match="temperature"):
            await client.update_config({"llm": {"temperature": 0.1}})
