"""A function may change the values that it receives: the config and other sessions keep theirs."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

import pytest

from rtvi_plugins import LLM, Secret, Session, bot, options, service
from rtvi_plugins.hosting import ManualClock

from ..fakes.faulty import FaultyLLM
from ..fakes.wire import connection_to, host_of, settle

pytestmark = pytest.mark.anyio

#: Defaults, which are not mutable themselves.
NOTHING: Any = MappingProxyType(dict[str, Any]())
TAGS: Any = MappingProxyType({"tags": ()})

#: What the functions received, before they changed it.
received: list[Any] = []


@pytest.fixture(autouse=True)
def fresh() -> None:
    """A new record for each test."""
    received.clear()


@service("llm", "changing")
@asynccontextmanager
async def changing_llm(
    api_key: Secret, /, headers: dict[str, str] = NOTHING, extra: Any = None
) -> AsyncGenerator[FaultyLLM]:
    """A provider that changes its service options."""
    received.append((dict(headers), list(extra["tags"])))
    headers["Authorization"] = f"Bearer {api_key.reveal()}"
    extra["tags"].append(api_key.reveal())
    yield FaultyLLM("changing")


@options(changing_llm)
def add(llm: FaultyLLM, /, extra: Any = TAGS, more: dict[str, Any] = NOTHING) -> None:
    """An options function that changes its values."""
    received.append((list(extra["tags"]), list(more["nested"]["tags"])))
    for each in (extra, more["nested"]):
        each["tags"].append("of a session")


@bot(
    services={"llm": "changing"},
    config={"llm": {"more": {"nested": {"tags": ["a"]}}}},
    client=["llm.extra", "llm.more"],
)
async def changed(session: Session, /, llm: LLM) -> None:
    """A bot with options that are changed."""


async def test_a_function_that_changes_what_it_receives_changes_nothing_else() -> None:
    """Defaults and service options of other sessions do not change. The config that clients read does not either."""
    clock = ManualClock()
    async with host_of(changed, clock=clock) as host:
        host.set_service_options({"llm.changing": {"headers": {"X": "1"}, "extra": {"tags": ["t"]}}})
        for key in ("key-of-a-test-one", "key-of-a-test-two"):
            body = {"api_keys": {"changing": key}}
            async with connection_to(host, clock, body) as wire:
                wire.send("client-ready", {})
                await settle()
                assert received == [({"X": "1"}, ["t"]), ([], ["a"])]
                config: dict[str, Any] = {"extra": {"tags": []}, "more": {"nested": {"tags": ["a"]}}}
                assert await wire.config() == {"llm": config}
                await wire.answer(wire.update(llm={"extra": {"tags": ["b"]}}))
                assert (await wire.config())["llm"]["extra"] == {"tags": ["b"]}
            received.clear()
