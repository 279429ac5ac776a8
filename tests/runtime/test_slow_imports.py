"""Slow alternatives of a bot are imported after the start of its server, in a thread."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from threading import Event
from typing import Any

import anyio
import pytest

from rtvi_plugins import TTS, Failover, ProviderError, Secret, Session, bot, lifespan, options, service
from rtvi_plugins.bridges import BridgedProvider
from rtvi_plugins.errors import BotError, InvalidStart, StartFailed
from rtvi_plugins.hosting import Host
from rtvi_plugins.kinds import Audio, TTSRequest
from rtvi_plugins.registry.installed_plugins import EntryPoint, Installed
from rtvi_plugins.testing import call

pytestmark = pytest.mark.anyio


class Pool:
    """The value of a lifespan."""


class Voice:
    """A voice that says nothing."""

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[Audio]:
        """Be silent."""
        async for _ in request.text:
            yield Audio(bytes(640), 16_000)


@service("tts", "quick")
@asynccontextmanager
async def quick() -> AsyncGenerator[Voice]:
    """A voice of the bot's own module."""
    yield Voice()


@options(quick)
def configure_quick(voice: Voice, /, volume: int = 1) -> None:
    """An option of this voice."""


@bot(services={"tts": ["quick", "slow"]}, client=["tts.provider", "tts.volume", "tts.speed"], public=True)
async def reader(session: Session, /, tts: TTS) -> None:
    """A bot with a slow alternative."""
    async for _ in session.inputs():
        pass


def connect() -> Voice:
    """Raise an exception, as a failing vendor does."""
    raise ProviderError("broken", "unavailable")


@service("tts", "broken")
@asynccontextmanager
async def broken() -> AsyncGenerator[Voice]:
    """A provider that cannot be opened."""
    yield connect()


@bot(services={"tts": Failover("broken", "slow")}, public=True)
async def careful(session: Session, /, tts: TTS) -> None:
    """A bot with a `Failover` whose second provider is slow."""
    async for _ in session.inputs():
        pass


@bot(services={"tts": ["slow", "quick"]}, public=True)
async def impatient(session: Session, /, tts: TTS) -> None:
    """A bot whose first provider is the slow one."""


@bot(services={"tts": ["quick", "slow"]}, client=["tts.spede"], public=True)
async def mistaken(session: Session, /, tts: TTS) -> None:
    """A bot that grants an option which does not exist."""


def slow_voice() -> list[Callable[..., Any]]:
    """Declare the slow provider."""

    @service("tts", "slow")
    @asynccontextmanager
    async def slow(base_url: str = "") -> AsyncGenerator[Voice]:
        """A voice of a bridge."""
        yield Voice()

    @options(slow)
    def configure(voice: Voice, /, speed: int = 1) -> None:
        """An option of this voice."""

    return [slow, configure]


class Import:
    """An import that lasts until the test lets it go on."""

    def __init__(self, declare: Callable[[], Sequence[Callable[..., Any]]] = slow_voice) -> None:
        self.begun, self.go_on = Event(), Event()
        self._declare = declare

    def __call__(self) -> Sequence[Callable[..., Any]]:
        self.begun.set()
        assert self.go_on.wait(10)
        return self._declare()

    @property
    def installed(self) -> Installed:
        """The installed plugins: a bridge with the slow provider."""
        bridged = BridgedProvider("tts.slow", self, slow=True)
        return Installed((EntryPoint("tts.slow", "acme.tts_slow", "acme", "1", bridged=bridged),))


def host_of(function: Any, slow: Import) -> Host:
    """A host that does not wait for the import."""
    here = [sys.modules[__name__]]
    secret = Secret("operator-secret-of-a-test")
    return Host(function, modules=here, installed=slow.installed, environ={}, postpone=True, operator_secret=secret)


async def test_a_session_starts_before_the_alternative_is_imported() -> None:
    """A start that names it waits for the import."""
    slow = Import()
    async with host_of(reader, slow) as host:
        await host.start()
        assert host.registry.labels() == {"tts": ("quick",)}
        started: list[str] = []

        async def choose() -> None:
            await host.start({"services": {"tts": "slow"}})
            started.append("slow")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(choose)
            await anyio.to_thread.run_sync(slow.begun.wait, 10)
            assert started == []
            slow.go_on.set()
        assert started == ["slow"]
        assert host.registry.labels() == {"tts": ("quick", "slow")}
        assert host.open_sessions == 2


async def test_an_open_session_can_switch_to_it_once_it_is_imported() -> None:
    """The client sees it when it asks again."""
    slow = Import()
    async with host_of(reader, slow) as host, call(host) as line:
        slow.go_on.set()
        await host.all_imported()
        line.send(
            "update-config",
            {"config": [{"service": "tts", "options": [{"name": "provider", "value": "slow"}]}]},
            id="switch",
        )
        with anyio.fail_after(5):
            while not (answers := [each for each in line.messages if each.get("id") == "switch"]):
                await anyio.lowlevel.checkpoint()
    assert answers[0]["type"] == "config"
    values = {each["name"]: each["value"] for service in answers[0]["data"]["config"] for each in service["options"]}
    assert values == {"provider": "slow", "speed": 1}


async def test_it_takes_over_once_it_is_imported(caplog: pytest.LogCaptureFixture) -> None:
    """Then it takes over from a provider that fails. Before, there is no alternative. A missing key is logged."""

    def declare() -> list[Callable[..., Any]]:
        @service("tts", "slow")
        @asynccontextmanager
        async def slow(api_key: Secret, /) -> AsyncGenerator[Voice]:
            yield Voice()

        return [slow]

    slow = Import(declare)
    async with host_of(careful, slow) as host:
        with pytest.raises(StartFailed, match="could not be opened"):
            await host.start()
        slow.go_on.set()
        await host.all_imported()
        await host.start({"api_keys": {"slow": "key-of-a-test"}}, secret="operator-secret-of-a-test")
    assert "tts.slow of a Failover has no key. Set SLOW_API_KEY." in caplog.text


async def test_a_mistake_is_logged_and_refuses_only_those_who_choose_it(caplog: pytest.LogCaptureFixture) -> None:
    """The client is not told the mistake."""

    def broken() -> list[Callable[..., Any]]:
        raise RuntimeError("no such voice")

    slow = Import(broken)
    slow.go_on.set()
    async with host_of(reader, slow) as host:
        with pytest.raises(StartFailed, match=r"could not be imported\. The log says why"):
            await host.start({"services": {"tts": "slow"}})
        await host.start()
    assert "tts.slow cannot be chosen." in caplog.text
    assert "RuntimeError: no such voice" in caplog.text


async def test_a_mistake_of_the_bot_is_found_when_all_is_known(caplog: pytest.LogCaptureFixture) -> None:
    """Before, the alternative could have the option that the bot grants."""
    slow = Import()
    slow.go_on.set()
    async with host_of(mistaken, slow) as host:
        await host.all_imported()
        assert host.registry.labels() == {"tts": ("quick",)}
    assert "client= grants 'tts.spede'. Did you mean 'tts.speed'?" in caplog.text


async def test_an_alternative_with_a_lifespan_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    """Lifespans open before the sessions, and the alternative is imported later."""

    def declare() -> list[Callable[..., Any]]:
        @lifespan
        @asynccontextmanager
        async def pool() -> AsyncGenerator[Pool]:
            yield Pool()

        @service("tts", "slow")
        @asynccontextmanager
        async def slow(shared: Pool, /) -> AsyncGenerator[Voice]:
            yield Voice()

        @options(slow)
        def configure(voice: Voice, /, speed: int = 1) -> None:
            """Set the option that the bot grants."""

        return [pool, slow, configure]

    slow = Import(declare)
    slow.go_on.set()
    async with host_of(reader, slow) as host:
        await host.all_imported()
        assert host.registry.labels() == {"tts": ("quick",)}
    assert "They need a lifespan" in caplog.text


async def test_leaving_does_not_wait_for_the_import() -> None:
    """So a server that has just started can be stopped at once."""
    slow = Import()
    with anyio.fail_after(5):
        async with host_of(reader, slow):
            await anyio.to_thread.run_sync(slow.begun.wait, 10)
    slow.go_on.set()


def test_service_options_of_an_alternative_import_it_at_once() -> None:
    """Otherwise the options could not be checked."""
    slow = Import()
    slow.go_on.set()
    host = host_of(reader, slow)
    with pytest.raises(InvalidStart, match="bsae_url"):
        host.set_service_options({"tts.slow": {"bsae_url": "http://127.0.0.1"}})
    host.set_service_options({"tts.slow": {"base_url": "http://127.0.0.1"}})
    assert host.registry.labels() == {"tts": ("quick", "slow")}


def test_the_first_provider_of_a_service_is_imported_at_once() -> None:
    """Every session needs the first provider."""
    slow = Import()
    slow.go_on.set()
    assert host_of(impatient, slow).registry.labels() == {"tts": ("slow", "quick")}


def test_without_postponing_all_is_imported_and_checked_at_once() -> None:
    """`rtvi describe` and `rtvi doctor` do this."""
    slow = Import()
    slow.go_on.set()
    with pytest.raises(BotError, match="spede"):
        Host(mistaken, modules=[sys.modules[__name__]], installed=slow.installed, environ={})
