"""The log says which clients use former and deprecated names, once for each version of a client."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from typing_extensions import deprecated

from rtvi_plugins import LLM, Session, Was, action, bot, options, service
from rtvi_plugins.hosting import Host, ManualClock
from rtvi_plugins.protocol.old_names import OldNames
from rtvi_plugins.session import ClientInfo

from ..fakes.faulty import FaultyLLM
from ..fakes.wire import OPERATOR, Wire, connection_to, host_of, settle

pytestmark = pytest.mark.anyio


@service("llm", "aged")
@asynccontextmanager
async def aged_llm() -> AsyncGenerator[FaultyLLM]:
    """A provider whose names have changed."""
    yield FaultyLLM("")


@options(aged_llm)
def configure(
    llm: FaultyLLM,
    /,
    model: Annotated[str, Was("engine")] = "small",
    style: Annotated[str, deprecated("Use model.")] = "plain",
) -> None:
    """Set the options. One was renamed, and one will be removed."""


@action(aged_llm)
@deprecated("Use count.")
async def measure(
    llm: FaultyLLM, /, text: Annotated[str, Was("words")], unit: Annotated[str, deprecated("")] = ""
) -> int:
    """A deprecated action."""
    return len(text)


@action(aged_llm)
async def count(llm: FaultyLLM, /, text: Annotated[str, Was("words")] = "") -> int:
    """An action with a renamed argument."""
    return len(text)


@bot(
    services={"llm": "aged"},
    config={"llm": {"engine": "medium"}},
    client=["llm.engine", "llm.style", "llm:measure", "llm:count", "bot:note"],
    public=True,
)
async def old(session: Session, /, llm: LLM) -> None:
    """A bot that does nothing."""


@action(old, message="note")
@deprecated("Send another message.")
async def note(data: Any = None) -> None:
    """An action for a client message."""


NEW = {"version": "2.1.0", "about": {"library": "@pipecat-ai/client-js", "library_version": "1.13.1"}}


@asynccontextmanager
async def a_host() -> AsyncGenerator[Host]:
    """A host. Its log remembers which uses it has named."""
    async with host_of(old, sys.modules[__name__]) as host:
        yield host


@asynccontextmanager
async def client(host: Host, ready: Mapping[str, Any] = NEW, **body: Any) -> AsyncGenerator[Wire]:
    """A client with this name and version."""
    async with connection_to(host, ManualClock(), body) as wire:
        wire.send("client-ready", ready)
        await settle()
        yield wire


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the log has said about old names since the last call."""
    found = [each.getMessage() for each in caplog.records if " uses " in each.getMessage()]
    caplog.clear()
    return [each.removeprefix("A client (") for each in found]


async def test_the_log_names_each_use_once_for_each_version(caplog: pytest.LogCaptureFixture) -> None:
    """It does not name them for each call, session or client."""
    async with a_host() as host:
        for _ in range(2):
            async with client(host) as wire:
                for words in ("a", "b"):
                    await wire.result(wire.call("llm:count", words=words))
        assert logged(caplog) == [
            "@pipecat-ai/client-js 1.13.1) uses the former name 'words' of the argument 'text' of 'llm:count'."
        ]
        async with client(host, {"version": "1.0.0"}) as wire:
            await wire.result(wire.call("llm:count", words="a"))
        assert logged(caplog) == ["protocol 1.0.0) uses the former name 'words' of the argument 'text' of 'llm:count'."]


async def test_the_log_names_deprecated_actions_and_arguments(caplog: pytest.LogCaptureFixture) -> None:
    """It names them for each form of a call, and says what to use instead."""
    async with a_host() as host, client(host, {}) as wire:
        await wire.result(wire.call("llm:measure", text="a", unit="m"))
        assert logged(caplog) == [
            "protocol 0.3.0) uses the action 'llm:measure', which is deprecated: Use count.",
            "protocol 0.3.0) uses the argument 'unit' of 'llm:measure', which is deprecated.",
        ]
        await wire.result(wire.send("action", {"service": "llm", "action": "measure", "arguments": {"words": "a"}}))
        assert logged(caplog) == [
            "protocol 0.3.0) uses the former name 'words' of the argument 'text' of 'llm:measure'."
        ]
        await wire.answer(wire.send("client-message", {"t": "note", "d": 1}))
        assert logged(caplog) == [
            "protocol 0.3.0) uses the action 'bot:note', which is deprecated: Send another message."
        ]


async def test_the_log_names_former_and_deprecated_options(caplog: pytest.LogCaptureFixture) -> None:
    """It names them when a client changes them. The bot's own config is not checked."""
    async with a_host() as host, client(host) as wire:
        await wire.answer(wire.update(llm={"engine": "large", "style": "rich"}))
        assert logged(caplog) == [
            "@pipecat-ai/client-js 1.13.1) uses the former name 'engine' of the option 'llm.model'.",
            "@pipecat-ai/client-js 1.13.1) uses the option 'llm.style', which is deprecated: Use model.",
        ]


async def test_the_log_names_options_of_a_start(caplog: pytest.LogCaptureFixture) -> None:
    """It names them when the client is ready, because then its version is known."""
    body = {"config": {"llm": {"engine": "large"}}, "rtvi_client_version": "0.4.1"}
    async with a_host() as host:
        await host.start(body, secret=OPERATOR)
        assert logged(caplog) == []
        async with client(host, {}, **body):
            assert logged(caplog) == ["an RTVI client 0.4.1) uses the former name 'engine' of the option 'llm.model'."]


async def test_present_names_and_unchanged_values_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Some clients send the whole config back."""
    async with a_host() as host, client(host) as wire:
        await wire.answer(wire.update(llm={"model": "medium", "style": "plain"}))
        await wire.result(wire.call("llm:count", text="a"))
        await wire.error(wire.update(llm={"engine": "large", "styl": "rich"}))
        assert logged(caplog) == []


def test_the_uses_that_are_logged_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """A client could claim another version each time."""
    names = OldNames()
    for number in range(1_200):
        names.used(ClientInfo((2, 1, number)), {}, "a former name")
    assert len(logged(caplog)) == 1_000


async def test_a_client_cannot_write_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The description of a client is shortened, and fits in one line."""
    async with a_host() as host:
        async with client(host, {"version": "2.1.0", "about": {"library": "a\nb" * 100}}) as wire:
            await wire.result(wire.call("llm:count", words="a"))
        (line,) = logged(caplog)
        assert len(line) < 200
        assert "\n" not in line
