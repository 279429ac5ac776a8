"""A provider for a vendor with OpenAI's chat API."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Literal

from attrs.validators import ge, le
from rtvi_plugins import Doc, Secret, options, service
from rtvi_plugins.security import http_url
from rtvi_plugins_openai import OpenAILLM, connect
from rtvi_plugins_vendor import Timeout


@service("llm", "acme", key_page="https://acme.example/keys")
@asynccontextmanager
async def acme_llm(
    api_key: Secret,
    /,
    base_url: Annotated[str, http_url, Doc("The URL of the API, with its version.")] = "https://api.acme.example/v1",
    timeout: Timeout = 30.0,
) -> AsyncGenerator[OpenAILLM]:
    """Acme's chat models."""
    async with connect("acme", api_key, base_url=base_url, timeout=timeout) as llm:
        yield llm


@options(acme_llm)
def configure(
    llm: OpenAILLM,
    /,
    model: Annotated[Literal["breeze", "storm"] | str, Doc("The model that answers.")] = "breeze",
    temperature: Annotated[float, ge(0), le(1), Doc("The randomness of the answers.")] = 0.5,
) -> None:
    """Set the model and the temperature."""
    llm.model, llm.fields = model, {"temperature": temperature}
