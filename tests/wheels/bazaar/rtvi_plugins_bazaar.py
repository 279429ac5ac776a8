"""A provider with the same name as a provider of another distribution."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from attrs import define

from rtvi_plugins import service
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text

Path(os.environ["IMPORTED"], __name__).touch()


@define
class BazaarLLM:
    """Another vendor's model."""

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Say which provider answers."""
        yield Text("the bazaar heard it")


@service("llm", "acme")
@asynccontextmanager
async def acme_llm() -> AsyncGenerator[BazaarLLM]:
    """Acme's chat models from another distribution."""
    yield BazaarLLM()
