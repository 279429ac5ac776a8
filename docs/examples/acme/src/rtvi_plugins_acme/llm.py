"""The provider `acme` of kind `llm`."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from attrs import define
from attrs.validators import ge, le
from rtvi_plugins import Doc, Secret, action, options, service
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text, ToolCall, Usage
from rtvi_plugins_vendor import Retry, VendorHTTP, connect_http


@define
class AcmeLLM:
    """A connection to Acme."""

    http: VendorHTTP
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
        async with self.http.stream("POST", "chat", json=body) as response:
            async for line in response.lines():
                yield _piece(json.loads(line))

    async def models(self) -> list[str]:
        """Return the names of the models."""
        return await self.http.get("models")


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
    async with connect_http("acme", api_key, base_url=base_url, retry=Retry(times=0)) as http:
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
