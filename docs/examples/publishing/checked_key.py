"""A provider that can check its key at the start."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from attrs import define
from rtvi_plugins import Secret, service
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text
from rtvi_plugins_vendor import Retry, VendorHTTP, connect_http, key_check


@define
class AcmeLLM:
    """A connection to Acme."""

    http: VendorHTTP

    check_key = key_check("models")

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Stream the answer, line by line."""
        async with self.http.stream("POST", "chat", json={"messages": list(request.messages)}) as response:
            async for line in response.lines():
                yield Text(line)


@service("llm", "acme", key_page="https://acme.example/keys")
@asynccontextmanager
async def acme_llm(api_key: Secret, /, base_url: str = "https://api.acme.example/v1") -> AsyncGenerator[AcmeLLM]:
    """Acme's chat models."""
    async with connect_http("acme", api_key, base_url=base_url, retry=Retry(times=0)) as http:
        yield AcmeLLM(http)
