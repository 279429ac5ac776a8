"""The providers of kind `llm` for OpenAI and for others with OpenAI's API. They share their options and actions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any, Literal, TypeAlias

from attrs import frozen
from attrs.validators import ge, gt, le
from typing_extensions import Doc

from rtvi_plugins import Secret, action, options, service
from rtvi_plugins.security import http_url

from .chat import OpenAILLM, connect

__all__ = (
    "VENDORS",
    "Vendor",
    "configure",
    "list_models",
    "openai_llm",
    "openai_model",
    "openai_thinking",
    "together_llm",
    "together_model",
)

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
Opens: TypeAlias = "Callable[..., AbstractAsyncContextManager[OpenAILLM]]"


# ---- the vendors -----------------------------------------------------------------------------------------------------


@frozen
class Vendor:
    """A vendor that offers OpenAI's API. The first of the `models`, which are suggestions, is the default.

    A vendor without a `key_page` is a server of one's own. It needs no key, and uses the first model that it lists.
    """

    name: str
    doc: str
    base_url: str
    models: Sequence[str] = ()
    key_page: str = ""
    max_tokens_field: str = "max_tokens"


#: Base URLs and fields as the vendors document them.
VENDORS: Mapping[str, Vendor] = {
    each.name: each
    for each in (
        Vendor(
            "openai",
            "OpenAI's chat models, or any server with OpenAI's chat API.",
            "https://api.openai.com/v1",
            # The model that OpenAI recommends after gpt-4.1-mini, which ends on 14 January 2027. None of these has an
            # announced end, by openai 3.57.0 (`openai.types.shared.chat_model`).
            ("gpt-6-luna", "gpt-6.1-terra", "gpt-6.2-sol", "gpt-5.4-mini", "gpt-5.4"),
            "https://platform.openai.com/api-keys",
            "max_completion_tokens",
        ),
        Vendor(
            "together",
            "Open models, served by Together.",
            "https://api.together.xyz/v1",
            ("openai/gpt-oss-120b", "Qwen/Qwen3-235B-A22B-Instruct-2507-tput", "zai-org/GLM-5.2"),
            "https://api.together.ai/settings/api-keys",
        ),
        Vendor(
            "groq",
            "Open models, served fast by Groq.",
            "https://api.groq.com/openai/v1",
            ("openai/gpt-oss-120b", "openai/gpt-oss-20b"),
            "https://console.groq.com/keys",
            "max_completion_tokens",
        ),
        Vendor(
            "xai",
            "The Grok models of xAI.",
            "https://api.x.ai/v1",
            ("grok-4.20-non-reasoning", "grok-4.3"),
            "https://console.x.ai",
            "max_completion_tokens",
        ),
        Vendor(
            "fireworks",
            "Open models, served by Fireworks.",
            "https://api.fireworks.ai/inference/v1",
            (
                "accounts/fireworks/models/gpt-oss-120b",
                "accounts/fireworks/models/nemotron-3-ultra-nvfp4",
                "accounts/fireworks/models/glm-5p3",
            ),
            "https://app.fireworks.ai/settings/users/api-keys",
        ),
        Vendor(
            "openrouter",
            "The models of many vendors, through OpenRouter.",
            "https://openrouter.ai/api/v1",
            ("openai/gpt-5.4-mini", "anthropic/claude-haiku-5.5", "google/gemini-3.8-flash"),
            "https://openrouter.ai/settings/keys",
        ),
        Vendor("ollama", "Models on your own machine, served by Ollama.", "http://localhost:11434/v1"),
        Vendor("vllm", "A model on your own machine, served by vLLM.", "http://localhost:8000/v1"),
        Vendor("llamacpp", "A model on your own machine, served by llama.cpp.", "http://localhost:8080/v1"),
        Vendor("lmstudio", "Models on your own machine, served by LM Studio.", "http://localhost:1234/v1"),
    )
}


def _provider(name: str) -> tuple[Opens, Callable[..., None]]:
    """Declare the provider of a vendor: its service, and the option that differs between vendors."""
    vendor = VENDORS[name]

    async def open(
        api_key: Secret | None,
        /,
        base_url: BaseURL = vendor.base_url,
        timeout: Timeout = 30.0,
        alternate_roles: AlternateRoles = None,
    ) -> AsyncGenerator[OpenAILLM]:
        async with connect(name, api_key, base_url=base_url, timeout=timeout, alternate_roles=alternate_roles) as llm:
            llm.max_tokens_field = vendor.max_tokens_field
            yield llm

    def choose(llm: OpenAILLM, /, model: str | None = vendor.models[0] if vendor.models else None) -> None:
        llm.model = model

    # The annotations depend on the vendor.
    open.__annotations__["api_key"] = Secret if vendor.key_page else Secret | None
    suggested: Any = Literal[tuple(vendor.models)] | str if vendor.models else str | None
    doc = "The model that answers. Models that do not think first begin to speak sooner."
    choose.__annotations__["model"] = Annotated[suggested, Doc(doc if vendor.models else f"{doc} {_FIRST}")]
    open.__name__, open.__qualname__, open.__doc__ = f"{name}_llm", f"{name}_llm", vendor.doc
    choose.__name__, choose.__qualname__, choose.__doc__ = f"{name}_model", f"{name}_model", "Set the model."
    opens = service("llm", name, key_page=vendor.key_page)(asynccontextmanager(open))
    return opens, options(opens)(choose)


_FIRST = "By default, the first one that the server lists."

openai_llm, openai_model = _provider("openai")
together_llm, together_model = _provider("together")
groq_llm, groq_model = _provider("groq")
xai_llm, xai_model = _provider("xai")
fireworks_llm, fireworks_model = _provider("fireworks")
openrouter_llm, openrouter_model = _provider("openrouter")
ollama_llm, ollama_model = _provider("ollama")
vllm_llm, vllm_model = _provider("vllm")
llamacpp_llm, llamacpp_model = _provider("llamacpp")
lmstudio_llm, lmstudio_model = _provider("lmstudio")

_SERVERS = (ollama_llm, vllm_llm, llamacpp_llm, lmstudio_llm)
_EVERY = (openai_llm, together_llm, groq_llm, xai_llm, fireworks_llm, openrouter_llm, *_SERVERS)


@options(openai_llm)
def openai_thinking(
    llm: OpenAILLM,
    /,
    reasoning_effort: Annotated[
        Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None,
        Doc(
            "How much the model thinks before it answers. By default, not at all with gpt-5.5 and later; others decide "
            "themselves."
        ),
    ] = None,
) -> None:
    """Set how much the model thinks."""
    llm.reasoning_effort = reasoning_effort


# ---- what they share -------------------------------------------------------------------------------------------------


@options(*_EVERY)
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
    frequency_penalty: Annotated[
        Penalty | None, Doc("Avoid words that were used, and even more those that were used often.")
    ] = None,
    presence_penalty: Annotated[Penalty | None, Doc("Avoid words that were used, no matter how often.")] = None,
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


@action(*_EVERY)
async def list_models(llm: OpenAILLM, /) -> list[str]:
    """List the models that this key may use."""
    return await llm.list_models()
