"""The provider `acme` of kind `llm`."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Literal

from attrs import define
from attrs.validators import ge, le
from rtvi_plugins import Doc, ProviderError, Secret, action, options, service
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text, ToolCall, Usage
from rtvi_plugins_vendor import Retry, VendorHTTP, connect_http


@define
class AcmeLLM:
    """A connection to Acme."""

    http: VendorHTTP
    model: str = ""
    temperature: float = 0.0

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Stream Acme's answer. Each line is a JSON object. The last one has the usage."""
        body = {
            "model": self.model,
            "temperature": self.temperature,
            "messages": list(request.messages),
            "functions": list(request.functions),
        }
        piece: LLMPiece | None = None
        async with self.http.stream("POST", "chat", json=body) as response:
            async for line in response.lines():
                yield (piece := _piece(line))
        if not isinstance(piece, Usage):  # half an answer
            raise ProviderError("acme", "unavailable")

    async def models(self) -> list[str]:
        """Return the names of the models."""
        return await self.http.get("models")


def _piece(line: str) -> LLMPiece:
    try:
        match json.loads(line):
            case {"text": str(text)}:
                return Text(text)
            case {"call": {"id": str(id), "name": str(name), "arguments": arguments}}:
                return ToolCall.parse(id, name, arguments)
            case {"tokens_in": int(tokens_in), "tokens_out": int(tokens_out)}:
                return Usage(tokens_in, tokens_out)
            case _:
                raise ProviderError("acme", "unavailable")
    except json.JSONDecodeError:
        raise ProviderError("acme", "unavailable") from None


@service("llm", "acme")
@asynccontextmanager
async def acme_llm(
    api_key: Secret,
    /,
    base_url: Annotated[str, Doc("The address of the API.")] = "https://api.acme.example/v1",
    timeout: Annotated[float, Doc("How long to wait for the next piece, in seconds.")] = 30.0,
) -> AsyncGenerator[AcmeLLM]:
    """Acme's chat models."""
    async with connect_http("acme", api_key, base_url=base_url, timeout=timeout, retry=Retry(times=0)) as http:
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
