"""Test the provider with a fake of Acme."""

from __future__ import annotations

import gc
import json
from collections.abc import AsyncGenerator, Iterable

import httpx2
import pytest
from rtvi_plugins import ProviderError, RequestError
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text, ToolCall, Usage
from rtvi_plugins.testing import check_providers, connect

import rtvi_plugins_acme.llm
from bot import pizzeria
from rtvi_plugins_acme.llm import AcmeLLM, configure, list_models

pytestmark = pytest.mark.anyio

REQUEST = LLMRequest([{"role": "user", "content": "Hello?"}])
ANSWER = [{"text": "Hello "}, {"text": "there."}, {"tokens_in": 3, "tokens_out": 2}]


class Acme:
    """A fake of Acme's server."""

    def __init__(self, answer: Iterable[object] = (), status: int = 200) -> None:
        self.answer, self.status = answer, status
        self.requests: list[object] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/models":
            return httpx2.Response(self.status, json=["acme-small", "acme-large"])
        self.requests.append(json.loads(request.content))
        lines = "".join(f"{json.dumps(each)}\n" for each in self.answer)
        return httpx2.Response(self.status, text=lines)

    def llm(self) -> AcmeLLM:
        """Return a connection to this fake."""
        return AcmeLLM(httpx2.AsyncClient(base_url="https://acme.test", transport=httpx2.MockTransport(self)))


async def pieces(stream: AsyncGenerator[LLMPiece]) -> list[LLMPiece]:
    """Return all pieces of an answer."""
    return [piece async for piece in stream]


async def test_the_answer_streams() -> None:
    """Each line becomes a piece."""
    assert await pieces(Acme(ANSWER).llm().respond(REQUEST)) == [Text("Hello "), Text("there."), Usage(3, 2)]


async def test_an_answer_can_be_interrupted() -> None:
    """Nothing is left to the garbage collector. On trio, that would be a warning."""
    stream = Acme(ANSWER).llm().respond(REQUEST)
    assert await anext(stream) == Text("Hello ")
    await stream.aclose()
    gc.collect()


async def test_a_function_call_is_a_piece() -> None:
    """It keeps the id of the vendor."""
    call = {"call": {"id": "c1", "name": "order", "arguments": {"pizza": "funghi"}}}
    assert await pieces(Acme([call]).llm().respond(REQUEST)) == [ToolCall("c1", "order", {"pizza": "funghi"})]


async def test_the_vendor_receives_the_options() -> None:
    """A decorated function is still a plain function."""
    acme = Acme(ANSWER)
    llm = acme.llm()
    configure(llm, model="acme-large", temperature=0.2)
    await pieces(llm.respond(REQUEST))
    assert acme.requests == [
        {
            "model": "acme-large",
            "temperature": 0.2,
            "messages": [{"role": "user", "content": "Hello?"}],
            "functions": [],
        }
    ]


@pytest.mark.parametrize(
    ("status", "category", "retryable"), [(401, "auth", False), (429, "rate", True), (500, "unavailable", True)]
)
async def test_a_failure_has_a_category(status: int, category: str, retryable: bool) -> None:
    """The category determines whether a retry makes sense."""
    with pytest.raises(ProviderError) as failed:
        await pieces(Acme(status=status).llm().respond(REQUEST))
    assert (failed.value.category, failed.value.retryable) == (category, retryable)


async def test_it_lists_its_models() -> None:
    """An action is a plain function too."""
    assert await list_models(Acme().llm()) == ["acme-small", "acme-large"]


async def test_a_client_configures_the_bot() -> None:
    """The bot checks and sets the client's values. It sends no request to Acme, so any key will do."""
    keys = {"acme": "key-of-a-test"}
    async with connect(pizzeria, rtvi_plugins_acme.llm, services={"llm": "acme"}, api_keys=keys) as client:
        config = await client.update_config({"llm": {"model": "acme-large"}})
        assert config.values["llm"]["model"] == "acme-large"
        with pytest.raises(RequestError, match="temperature"):
            await client.update_config({"llm": {"temperature": 0.1}})


async def test_it_is_a_good_provider() -> None:
    """It opens, describes itself, accepts its own options, and closes."""
    await check_providers(rtvi_plugins_acme.llm)
