"""A provider for a vendor whose conversations are in turns of user and assistant."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from attrs import define
from rtvi_plugins import Secret, service
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text
from rtvi_plugins_vendor import BaseURL, VendorHTTP, connect_http, in_text_turns


@define
class AcmeLLM:
    """A connection to Acme."""

    http: VendorHTTP

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Stream the answer, line by line."""
        system, turns = in_text_turns(
            request.messages,
            text=lambda text: {"text": text},
            call=lambda id, name, arguments: {"call": id, "tool": name, "input": arguments},
            result=lambda id, text: {"call": id, "output": text},
        )
        body = {"system": system, "turns": [{"role": role, "parts": parts} for role, parts in turns]}
        async with self.http.stream("POST", "chat", json=body) as response:
            async for line in response.lines():
                yield Text(line)


@service("llm", "acme")
@asynccontextmanager
async def acme_llm(api_key: Secret, /, base_url: BaseURL = "https://api.acme.example/v1") -> AsyncGenerator[AcmeLLM]:
    """Acme's chat models."""
    async with connect_http("acme", api_key, base_url=base_url) as http:
        yield AcmeLLM(http)
