"""The provider `acme` of kind `llm`."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any, Literal

import httpx2
from attrs import define
from attrs.validators import ge, le
from rtvi_plugins import Doc, ProviderError, Secret, action, options, service
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text, ToolCall, Usage


@define
class AcmeLLM:
    """A connection to Acme."""

    http: httpx2.AsyncClient
    model: str = ""
    temperature: float = 0.0

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Stream Acme's answer. Each line is a JSON object."""
        body = {
            "model": self.model,
            "temperature": self.temperature,
            "messages": list(request.messages),
            "functions": list(request.functions),
        }
        async with self._provider_errors(), self.http.stream("POST", "/chat", json=body) as response:
            self._check(response)
            async with _lines(response) as lines:
                async for line in lines:
                    yield _piece(json.loads(line))

    async def models(self) -> list[str]:
        """Return the names of the models."""
        async with self._provider_errors():
            response = await self.http.get("/models")
            self._check(response)
            return response.json()

    def _check(self, response: httpx2.Response) -> None:
        if response.status_code == 401:
            raise ProviderError("acme", "auth")
        if response.status_code == 429:
            raise ProviderError("acme", "rate")
        if response.is_error:
            raise ProviderError("acme", "unavailable")

    @asynccontextmanager
    async def _provider_errors(self) -> AsyncGenerator[None]:
        try:
            yield
        except httpx2.TimeoutException:
            raise ProviderError("acme", "timeout") from None
        except httpx2.HTTPError:
            raise ProviderError("acme", "unavailable") from None


@asynccontextmanager
async def _lines(response: httpx2.Response) -> AsyncGenerator[AsyncIterator[str]]:
    """Return the lines of a response. The reader may stop before the last line."""
    lines = response.aiter_lines()
    try:
        yield lines
    finally:
        await response.aclose()
        # httpx2 leaves its inner iterators open. Read a closed response to its end, so that they end too.
        with suppress(httpx2.HTTPError, httpx2.StreamError):
            async for _ in lines:
                pass


def _piece(data: dict[str, Any]) -> LLMPiece:
    match data:
        case {"text": text}:
            return Text(text)
        case {"call": call}:
            return ToolCall(call["id"], call["name"], call["arguments"])
        case _:
            return Usage(data["tokens_in"], data["tokens_out"])


@service("llm", "acme")
@asynccontextmanager
async def acme_llm(api_key: Secret, /, base_url: str = "https://api.acme.example/v1") -> AsyncGenerator[AcmeLLM]:
    """Acme's chat models."""
    headers = {"authorization": f"Bearer {api_key.reveal()}"}
    async with httpx2.AsyncClient(base_url=base_url, headers=headers, timeout=30) as http:
        yield AcmeLLM(http)


@options(acme_llm)
def configure(
    llm: AcmeLLM,
    /,
    model: Annotated[Literal["acme-small", "acme-large"] | str, Doc("The name of the model.")] = "acme-small",
    temperature: Annotated[float, ge(0), le(2), Doc("The randomness of the answers.")] = 0.7,
) -> None:
    """Set the model and the temperature."""
    llm.model, llm.temperature = model, temperature


@action(acme_llm)
async def list_models(llm: AcmeLLM, /) -> list[str]:
    """List the models of this key."""
    return await llm.models()
