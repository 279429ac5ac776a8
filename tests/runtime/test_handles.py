"""The services as a bot holds them. They forward to any provider, and have its optional methods."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Protocol, runtime_checkable

import pytest

from rtvi_plugins import LLM, Session, bot, service
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text
from rtvi_plugins.testing import connect

pytestmark = pytest.mark.anyio


@runtime_checkable
class Counts(Protocol):
    """An optional Protocol, which only some providers have."""

    def count(self, text: str) -> int:
        """Return the number of tokens of a text."""
        ...


class Plain:
    """An LLM, and nothing else."""

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Say one word."""
        yield Text("")


class Counting(Plain):
    """An LLM that can count."""

    def count(self, text: str) -> int:
        """Count the words."""
        return len(text.split())


@service("llm", "plain")
@asynccontextmanager
async def plain_llm() -> AsyncGenerator[Plain]:
    """A provider that cannot count."""
    yield Plain()


@service("llm", "counting")
@asynccontextmanager
async def counting_llm() -> AsyncGenerator[Counting]:
    """A provider that can count."""
    yield Counting()


@bot(services={"llm": ["plain", "counting"]}, public=True)
async def asker(session: Session, /, llm: LLM) -> None:
    """A bot that looks at its handle, before and after a switch."""
    for provider in ("plain", "counting"):
        await session.switch("llm", provider)
        session.send([callable(llm.respond), llm.count("a b") if isinstance(llm, Counts) else None])


async def test_a_handle_is_an_instance_of_what_its_provider_is() -> None:
    """Optional Protocols work as on the service itself."""
    received: list[object] = []
    async with connect(asker, version="2.1.0") as client:
        async for event in client.events():
            if event.type == "server-message":
                received.append(event.data)
            if len(received) == 2:
                break
    assert received == [[True, None], [True, 2]]
