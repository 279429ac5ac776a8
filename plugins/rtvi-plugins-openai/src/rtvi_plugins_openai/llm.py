"""The providers `openai` and `together` of kind `llm`: one class, two addresses, the same options and actions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal, TypeAlias

from attrs.validators import ge, gt, le
from typing_extensions import Doc

from rtvi_plugins import Secret, action, options, service
from rtvi_plugins.security import http_url

from .chat import OpenAILLM, connect

__all__ = ("configure", "list_models", "openai_llm", "openai_model", "together_llm", "together_model")

BaseURL: TypeAlias = Annotated[
    str, http_url, Doc("Where the API is, its version included; any server that speaks it will do.")
]
Timeout: TypeAlias = Annotated[
    float, gt(0), le(600), Doc("Seconds to wait for a connection, and for each next piece of an answer.")
]
AlternateRoles: TypeAlias = Annotated[
    bool | None,
    Doc("Join messages so that user and assistant take turns; unset does so for every server but OpenAI's own."),
]
Penalty: TypeAlias = Annotated[float, ge(-2), le(2)]


@service("llm", "openai")
@asynccontextmanager
async def openai_llm(
    api_key: Secret,
    /,
    base_url: BaseURL = "https://api.openai.com/v1",
    timeout: Timeout = 30.0,
    alternate_roles: AlternateRoles = None,
) -> AsyncGenerator[OpenAILLM]:
    """OpenAI's chat models, or any server that speaks OpenAI's chat API."""
    async with connect("openai", api_key, base_url=base_url, timeout=timeout, alternate_roles=alternate_roles) as llm:
        yield llm


@service("llm", "together")
@asynccontextmanager
async def together_llm(
    api_key: Secret,
    /,
    base_url: BaseURL = "https://api.together.xyz/v1",
    timeout: Timeout = 30.0,
    alternate_roles: AlternateRoles = None,
) -> AsyncGenerator[OpenAILLM]:
    """Open models, served by Together."""
    async with connect("together", api_key, base_url=base_url, timeout=timeout, alternate_roles=alternate_roles) as llm:
        llm.max_tokens_field = "max_tokens"
        yield llm


@options(openai_llm)
def openai_model(
    llm: OpenAILLM,
    /,
    model: Annotated[
        Literal["gpt-4.1-mini", "gpt-4.1", "gpt-5.4-nano", "gpt-5.4-mini", "gpt-5.4", "gpt-5.5"] | str,
        Doc("The model that answers. One that does not think first begins to speak soonest."),
    ] = "gpt-4.1-mini",
) -> None:
    """Which of OpenAI's models answers."""
    llm.model = model


@options(together_llm)
def together_model(
    llm: OpenAILLM,
    /,
    model: Annotated[
        Literal[
            "meta-llama/Llama-3.3-70B-Instruct-Turbo",
            "Qwen/Qwen3-235B-A22B-Instruct-2507-tput",
            "moonshotai/Kimi-K2.5",
            "openai/gpt-oss-120b",
        ]
        | str,
        Doc("The model that answers. One that does not think first begins to speak soonest."),
    ] = "meta-llama/Llama-3.3-70B-Instruct-Turbo",
) -> None:
    """Which of the models that Together serves answers."""
    llm.model = model


@options(openai_llm, together_llm)
def configure(
    llm: OpenAILLM,
    /,
    temperature: Annotated[
        Annotated[float, ge(0), le(2)] | None, Doc("How freely it answers; unset is the model's own.")
    ] = None,
    top_p: Annotated[
        Annotated[float, gt(0), le(1)] | None, Doc("Choose among the likeliest words that make up this share.")
    ] = None,
    frequency_penalty: Annotated[Penalty | None, Doc("How much to avoid words the more often they were used.")] = None,
    presence_penalty: Annotated[Penalty | None, Doc("How much to avoid words that were used at all.")] = None,
    max_tokens: Annotated[
        Annotated[int, ge(1)] | None, Doc("The longest answer, in tokens; unset is the model's own.")
    ] = None,
    seed: Annotated[int | None, Doc("Makes answers repeatable, as far as the vendor can.")] = None,
    extra: Annotated[
        Mapping[str, Any] | None, Doc("More fields of the request, by the vendor's names; null leaves one out.")
    ] = None,
) -> None:
    """How it answers. What is not set is not sent."""
    llm.fields = {
        "temperature": temperature,
        "top_p": top_p,
        "frequency_penalty": frequency_penalty,
        "presence_penalty": presence_penalty,
        llm.max_tokens_field: max_tokens,
        "seed": seed,
        **(extra or {}),
    }


@action(openai_llm, together_llm)
async def list_models(llm: OpenAILLM, /) -> list[str]:
    """The names of the models that this key may use."""
    return await llm.list_models()
