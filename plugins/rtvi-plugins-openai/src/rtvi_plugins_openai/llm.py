"""The providers `openai` and `together` of kind `llm`, which share their options and actions."""

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
    str, http_url, Doc("The URL of the API, with its version. Any server with OpenAI's API works.")
]
Timeout: TypeAlias = Annotated[
    float, gt(0), le(600), Doc("How long to wait for the connection, and for each piece of an answer, in seconds.")
]
AlternateRoles: TypeAlias = Annotated[
    bool | None,
    Doc("Join messages so that user and assistant alternate. By default, for every server except OpenAI's own."),
]
Penalty: TypeAlias = Annotated[float, ge(-2), le(2)]


@service("llm", "openai", key_page="https://platform.openai.com/api-keys")
@asynccontextmanager
async def openai_llm(
    api_key: Secret,
    /,
    base_url: BaseURL = "https://api.openai.com/v1",
    timeout: Timeout = 30.0,
    alternate_roles: AlternateRoles = None,
) -> AsyncGenerator[OpenAILLM]:
    """OpenAI's chat models, or any server with OpenAI's chat API."""
    async with connect("openai", api_key, base_url=base_url, timeout=timeout, alternate_roles=alternate_roles) as llm:
        yield llm


@service("llm", "together", key_page="https://api.together.ai/settings/api-keys")
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
        Doc("The model that answers. Models that do not think first begin to speak sooner."),
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
        Doc("The model that answers. Models that do not think first begin to speak sooner."),
    ] = "meta-llama/Llama-3.3-70B-Instruct-Turbo",
) -> None:
    """Which of the models that Together serves answers."""
    llm.model = model


@options(openai_llm, together_llm)
def configure(
    llm: OpenAILLM,
    /,
    temperature: Annotated[
        Annotated[float, ge(0), le(2)] | None,
        Doc("Sampling temperature: higher values give more varied answers. By default, the model's own."),
    ] = None,
    top_p: Annotated[
        Annotated[float, gt(0), le(1)] | None,
        Doc("Nucleus sampling: choose among the most likely tokens with this total probability."),
    ] = None,
    frequency_penalty: Annotated[Penalty | None, Doc("Avoid words that were used, the more the more often.")] = None,
    presence_penalty: Annotated[Penalty | None, Doc("Avoid words that were used, however often.")] = None,
    max_tokens: Annotated[
        Annotated[int, ge(1)] | None, Doc("The longest answer, in tokens. By default, the model's own limit.")
    ] = None,
    seed: Annotated[int | None, Doc("Seed for repeatable answers, as far as the vendor supports it.")] = None,
    extra: Annotated[
        Mapping[str, Any] | None, Doc("Other fields of the request, with the vendor's names; null omits a field.")
    ] = None,
) -> None:
    """Set the options of the model. Options that are not set are not sent."""
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
    """List the models that this key may use."""
    return await llm.list_models()
