"""The provider `anthropic` of kind `llm`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from attrs.validators import ge, gt, le
from typing_extensions import Doc

from rtvi_plugins import Secret, action, options, service
from rtvi_plugins.security import http_url

from .messages import AnthropicLLM, connect

__all__ = ("anthropic_llm", "configure", "list_models")


@service("llm", "anthropic", key_page="https://platform.claude.com/settings/keys")
@asynccontextmanager
async def anthropic_llm(
    api_key: Secret,
    /,
    base_url: Annotated[str, http_url, Doc("The URL of the API, with its version.")] = "https://api.anthropic.com/v1",
    timeout: Annotated[
        float, gt(0), le(600), Doc("How long to wait for the connection, and for each piece of an answer, in seconds.")
    ] = 30.0,
) -> AsyncGenerator[AnthropicLLM]:
    """Anthropic's Claude models."""
    async with connect(api_key, base_url=base_url, timeout=timeout) as llm:
        yield llm


@options(anthropic_llm)
def configure(
    llm: AnthropicLLM,
    /,
    model: Annotated[
        Literal["claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5", "claude-haiku-4-5"] | str,
        Doc("The model that answers. Small models begin to speak sooner."),
    ] = "claude-haiku-5-5",
    max_tokens: Annotated[int, ge(1), Doc("The longest answer, in tokens. Thoughts count too.")] = 2048,
    effort: Annotated[
        Literal["low", "medium", "high", "xhigh", "max"] | None,
        Doc("How much the model works on an answer. null leaves it to the model, as models before 4.5 need."),
    ] = "low",
    thinking: Annotated[
        Literal["adaptive", "between_tools", "disabled"] | None,
        Doc("Whether the model thinks before it answers. Models differ in what they accept; null leaves it to them."),
    ] = None,
    cache: Annotated[
        Literal["5m", "1h"] | None,
        Doc("How long the vendor keeps a long conversation, so that the next turn is cheaper and faster."),
    ] = None,
    extra: Annotated[
        Mapping[str, Any] | None, Doc("Other fields of the request, with the vendor's names; null omits a field.")
    ] = None,
) -> None:
    """Set the model and its options."""
    llm.model = model
    llm.fields = {
        "max_tokens": max_tokens,
        "output_config": effort and {"effort": effort},
        "thinking": thinking and {"type": thinking},
        "cache_control": cache and {"type": "ephemeral", "ttl": cache},
        **(extra or {}),
    }


@action(anthropic_llm)
async def list_models(llm: AnthropicLLM, /) -> list[str]:
    """List the models that this key may use."""
    return await llm.list_models()
