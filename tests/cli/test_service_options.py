"""Service options on the command line, and those that a host sets for all sessions."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from attrs import define
from attrs.validators import gt

from rtvi_plugins import LLM, Secret, Session, Was, action, bot, service
from rtvi_plugins.cli import UsageError, set_service_options
from rtvi_plugins.errors import InvalidStart
from rtvi_plugins.hosting import Host, ManualClock
from rtvi_plugins.kinds import LLMPiece, LLMRequest
from rtvi_plugins.resuming import MemoryStore
from rtvi_plugins.security import http_url
from rtvi_plugins.testing import host_for

from ..fakes.visitor import visitor
from ..fakes.wire import OPERATOR, Wire, host_of, settle

pytestmark = pytest.mark.anyio


@define
class Where:
    """Keeps the options with which it was opened."""

    options: str

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        for piece in list[LLMPiece]():
            yield piece


@service("llm", "near")
@asynccontextmanager
async def near(
    api_key: Secret | None,
    /,
    base_url: Annotated[str, Was("url"), http_url] = "http://near",
    timeout: Annotated[float, gt(0)] = 1.0,
    number: str = "",
) -> AsyncGenerator[Where]:
    """A vendor."""
    yield Where(f"{base_url} {timeout:g} {number}".strip())


@service("llm", "far")
@asynccontextmanager
async def far(base_url: str = "http://far") -> AsyncGenerator[Where]:
    """Another vendor."""
    yield Where(base_url)


@bot(services={"llm": ["near", "far"]}, public=True, client=["bot:options"])
async def asker(session: Session, /, llm: LLM) -> None:
    """A bot that reports the options of its service."""


@action(asker)
async def options(session: Session, llm: LLM, /) -> str:
    """Return the options."""
    return str(llm.options)  # type: ignore[attr-defined]  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType, reportAttributeAccessIssue]


async def opened_with(host: Host, body: object = None) -> str:
    """Return what the service of a new session was opened with."""
    started = await host.start(body, secret=OPERATOR)
    wire = Wire(host, host.claim(started.token), None)  # type: ignore[arg-type]
    wire.send("client-ready", {"version": "2.1.0"})
    id = wire.call("bot:options")
    await settle()
    for text in wire.connection.take():
        if isinstance(text, str) and f'"{id}"' in text:
            return text.rpartition('"result":"')[2].partition('"')[0]
    raise AssertionError("there is no answer")


async def test_they_hold_for_all_sessions() -> None:
    """The options of a trusted start replace them one by one."""
    async with host_of(asker, sys.modules[__name__]) as host:
        set_service_options(host, ["llm.near.base_url=http://other", "llm.timeout=2.5", "llm.number=1"])
        assert await opened_with(host) == await opened_with(host) == "http://other 2.5 1"
        start = {"service_options": {"near": {"base_url": "http://third"}}}
        assert await opened_with(host, start) == "http://third 2.5 1"
        assert await opened_with(host, {"services": {"llm": "far"}}) == "http://far"


async def test_they_hold_for_a_session_that_is_resumed() -> None:
    """This is true also in another process. The user's words must not go to another address."""
    store, clock = MemoryStore(), ManualClock()
    shared: dict[str, Any] = {"modules": [sys.modules[__name__]], "environ": {}, "store": store, "clock": clock}
    shared["operator_secret"] = Secret(OPERATOR)
    async with Host(asker, **shared) as one, Host(asker, **shared) as other, visitor() as client:
        for each in (one, other):
            set_service_options(each, ["llm.near.base_url=http://other"])
        await client.start(one)
        assert await client.result("bot:options") == "http://other 1"
        await client.resume(other)
        assert await client.result("bot:options") == "http://other 1"


async def test_a_former_name_is_accepted() -> None:
    """A start accepts it too."""
    async with host_of(asker, sys.modules[__name__]) as host:
        set_service_options(host, ["llm.url=http://other"])
        assert await opened_with(host) == "http://other 1"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["llm"], "'llm' cannot be read. Write service.option=value, as in llm.base_url="),
        (["base_url=x"], "'base_url' names no service option."),
        (["tts.base_url=x"], "The bot's services: llm."),
        (["llm.a.b.c=x"], "names no service option"),
        (["llm.base_url=x"], "Several providers have 'llm.base_url'. Write llm.far.base_url."),
        (["llm.nobody.base_url=x"], "llm.far.base_url, llm.near.base_url"),
        (["llm.host=x"], "There is no service option 'llm.host'."),
        (["llm.api_key=x"], "'llm.api_key' is a key. Set it in the environment, as NEAR_API_KEY."),
        (["llm.timeout=0"], "--service-option llm.timeout: expected"),
        (["llm.near.timeout=0"], "--service-option llm.near.timeout: expected"),
        (["llm.timeout=0"], "expected a number that must be > 0."),
        (["llm.near.base_url=ftp://x"], "URL, as in https://api.acme.example/v1; this one does not begin with http://"),
        (["llm.near.base_url=http://a b"], "this one contains a space, a backslash or a control character."),
        (["llm.near.base_url=http://me:word@x"], "must not contain a user name or password; give the key"),
        (["llm.timeout=soon"], "got a string"),
        (["llm.far.base_url=http://me:word@x"], "must not contain a user name or password"),
        (["llm.timeout=1", "llm.timeout=2"], "is given twice"),
    ],
)
def test_a_mistake_is_a_sentence(words: list[str], sentence: str) -> None:
    """The sentence says what to write instead, and never shows a password."""
    host = host_for(asker, sys.modules[__name__])
    with pytest.raises(UsageError) as failed:
        set_service_options(host, words)
    assert sentence in str(failed.value)
    assert "word@" not in str(failed.value)


def test_a_program_gets_every_problem() -> None:
    """The options of a host are checked when they are set."""
    host = host_for(asker, sys.modules[__name__])
    with pytest.raises(InvalidStart) as failed:
        host.set_service_options({"near": {"timeout": 0, "bas_url": "x"}})
    assert [each.path for each in failed.value.problems] == [
        "$.service_options.near.timeout",
        "$.service_options.near.bas_url",
    ]
