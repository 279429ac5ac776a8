"""The provider `acme` of kind `llm`, which repeats what it hears."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Literal

from attrs import define
from attrs.validators import ge, le

from rtvi_plugins import Doc, action, options, service
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text

__all__ = ("AcmeLLM", "acme_llm", "configure", "list_models")


@define
class AcmeLLM:
    """One of Acme's models."""

    model: str = ""

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Say which provider answers, and what it heard."""
        yield Text(f"{self.model} heard: ")
        yield Text(str(request.messages[-1].get("content")))


@service("llm", "acme")
@asynccontextmanager
async def acme_llm() -> AsyncGenerator[AcmeLLM]:
    """Acme's chat models."""
    yield AcmeLLM()


@options(acme_llm)
def configure(
    llm: AcmeLLM,
    /,
    model: Annotated[Literal["acme-small", "acme-large"] | str, Doc("The model that answers.")] = "acme-small",
) -> None:
    """Which model answers."""
    llm.model = model


@action(acme_llm)
async def list_models(llm: AcmeLLM, /, at_most: Annotated[int, ge(1), le(10)] = 10) -> list[str]:
    """Return the models that Acme has."""
    return ["acme-small", "acme-large"][:at_most]
