"""The provider `google` of kind `llm`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal, TypeAlias

from attrs.validators import ge, gt, le
from typing_extensions import Doc

from rtvi_plugins import Secret, action, options, service
from rtvi_plugins.security import http_url

from .gemini import GoogleLLM, connect

__all__ = ("KEY_PAGE", "Timeout", "configure", "google_llm", "list_models")

KEY_PAGE = "https://aistudio.google.com/apikey"
Timeout: TypeAlias = Annotated[
    float, gt(0), le(600), Doc("How long to wait for the connection, and for each piece of an answer, in seconds.")
]

_CATEGORIES = ("HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT")


@service("llm", "google", key_page=KEY_PAGE)
@asynccontextmanager
async def google_llm(
    api_key: Secret,
    /,
    base_url: Annotated[
        str, http_url, Doc("The URL of the API, with its version.")
    ] = "https://generativelanguage.googleapis.com/v1",
    timeout: Timeout = 30.0,
) -> AsyncGenerator[GoogleLLM]:
    """Google's Gemini models."""
    async with connect(api_key, base_url=base_url, timeout=timeout) as llm:
        yield llm


@options(google_llm)
def configure(
    llm: GoogleLLM,
    /,
    model: Annotated[
        Literal["gemini-3.8-flash", "gemini-3.5-flash-lite", "gemini-3.5-flash"] | str,
        Doc("The model that answers. Models named flash begin to speak sooner."),
    ] = "gemini-3.8-flash",
    thinking_level: Annotated[
        Literal["minimal", "low", "medium", "high", "xhigh"] | None,
        Doc("How much the model thinks before it answers. null leaves it to the model."),
    ] = "low",
    temperature: Annotated[
        Annotated[float, ge(0), le(2)] | None,
        Doc("Sampling temperature: higher values give more varied answers. By default, the model's own."),
    ] = None,
    top_p: Annotated[
        Annotated[float, gt(0), le(1)] | None,
        Doc("Nucleus sampling: choose among the most likely tokens with this total probability."),
    ] = None,
    top_k: Annotated[Annotated[int, ge(1)] | None, Doc("Choose among this many of the most likely tokens.")] = None,
    max_tokens: Annotated[
        Annotated[int, ge(1)] | None, Doc("The longest answer, in tokens. Thoughts count too.")
    ] = None,
    seed: Annotated[int | None, Doc("Seed for repeatable answers, as far as the vendor supports it.")] = None,
    safety: Annotated[
        Literal["BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH", "BLOCK_NONE", "OFF"] | None,
        Doc("From which probability of harm the vendor blocks an answer. By default, the vendor's own."),
    ] = None,
    extra: Annotated[
        Mapping[str, Any] | None, Doc("Other fields of the request, with the vendor's names; null omits a field.")
    ] = None,
) -> None:
    """Set the model and its options. Options that are not set are not sent."""
    more = dict(extra or {})
    llm.model = model
    llm.generation = {
        "temperature": temperature,
        "topP": top_p,
        "topK": top_k,
        "maxOutputTokens": max_tokens,
        "seed": seed,
        "thinkingConfig": thinking_level and {"thinkingLevel": thinking_level.upper()},
        **(more.pop("generationConfig", None) or {}),
    }
    blocked = [{"category": f"HARM_CATEGORY_{each}", "threshold": safety} for each in _CATEGORIES]
    llm.fields = {"safetySettings": blocked if safety else None, **more}


@action(google_llm)
async def list_models(llm: GoogleLLM, /) -> list[str]:
    """List the models that can answer."""
    return await llm.list_models()
