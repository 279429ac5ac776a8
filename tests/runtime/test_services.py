"""Each service is opened, kept open and closed by its own task, even if it does not cooperate."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import TaskGroup
from attrs import define, field

from rtvi_plugins import LLM, ProviderError, RequestError, Secret, Session, bot, service
from rtvi_plugins.declare.lifespans import Lifespans
from rtvi_plugins.declare.specs import ProviderSpec, specs_of
from rtvi_plugins.errors import MissingKey, StartFailed
from rtvi_plugins.hosting import Limits, ManualClock
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text
from rtvi_plugins.registry.registry import Provider
from rtvi_plugins.runtime.lifespans import OpenLifespans
from rtvi_plugins.runtime.live_services import Opener

from ..fakes.wire import connection_to, host_of, settle

pytestmark = pytest.mark.anyio

WORDS = "words-of-an-exception"


@define
class Parrot:
    """A service. It keeps the keys and options that it was given."""

    key: Secret | None = None
    base_url: str = ""
    dies: anyio.Event = field(factory=anyio.Event)

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Say one word."""
        yield Text("hello")


#: What happened, in order, and how a service behaves that is about to be opened.
log: list[str] = []
opened: list[Parrot] = []
closed: list[Parrot] = []


@pytest.fixture(autouse=True)
def fresh() -> None:
    """A new log for each test."""
    log.clear()
    opened.clear()
    closed.clear()


@asynccontextmanager
async def logged(name: str, parrot: Parrot | None = None) -> AsyncGenerator[Parrot]:
    """Note when a service is opened and closed. It dies when the test wants it."""
    parrot = parrot or Parrot()

    async def die() -> None:
        await parrot.dies.wait()
        raise ConnectionError(WORDS)

    log.append(f"open {name}")
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(die)
            opened.append(parrot)
            yield parrot
            tasks.cancel_scope.cancel()
    finally:
        log.append(f"close {name}")
        closed.append(parrot)


@service("llm", "good")
@asynccontextmanager
async def good(
    api_key: Secret, spare_key: Secret | None, /, base_url: str = "https://good.example"
) -> AsyncGenerator[Parrot]:
    """Opens and closes."""
    async with logged("good", Parrot(spare_key or api_key, base_url)) as parrot:
        yield parrot


@service("llm", "plain")
@asynccontextmanager
async def plain() -> AsyncGenerator[Parrot]:
    """A provider that needs no key."""
    async with logged("plain") as parrot:
        yield parrot


@service("llm", "broken")
@asynccontextmanager
async def broken() -> AsyncGenerator[Parrot]:
    """A provider that raises an exception of the test."""
    log.append("open broken")
    if failures:
        raise failures[0]
    yield Parrot()


failures: list[BaseException] = []


@service("llm", "hasty")
def hasty() -> AbstractAsyncContextManager[Parrot]:
    """A provider that raises before its context manager exists."""
    raise failures[0]


@service("llm", "slow")
@asynccontextmanager
async def slow() -> AsyncGenerator[Parrot]:
    """A provider that does not finish opening."""
    async with logged("slow"):
        await anyio.sleep_forever()
        yield Parrot()


@service("llm", "clinging")
@asynccontextmanager
async def clinging() -> AsyncGenerator[Parrot]:
    """A provider that does not close."""
    async with logged("clinging") as parrot:
        yield parrot
        await anyio.sleep_forever()


@service("llm", "sore")
@asynccontextmanager
async def sore() -> AsyncGenerator[Parrot]:
    """A provider that raises when it is closed."""
    async with logged("sore") as parrot:
        yield parrot
        raise RuntimeError(WORDS)


def provider(function: Any) -> Provider:
    """A provider without options or actions."""
    (spec,) = (each for each in specs_of(function) if isinstance(each, ProviderSpec))
    return Provider(spec.provider, spec, (), (), {})


def opener(
    tasks: TaskGroup,
    keys: Mapping[str, str] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    seconds: float = 15.0,
) -> Opener:
    """An opener with keys by the names of their parameters."""
    found = {name: Secret(key) for name, key in (keys or {}).items()}
    none = OpenLifespans(Lifespans(), Limits(), lambda lifespan, name: None, str)
    return Opener(tasks, lambda provider, name: found.get(name), options or {}, none, seconds)


# ---- opening -------------------------------------------------------------------------------------------------------


async def test_a_service_is_given_its_keys_and_its_service_options() -> None:
    """The keys are found by the names of the slot and the provider. An optional key may be missing."""
    async with anyio.create_task_group() as tasks:
        opens = opener(tasks, {"api_key": "key-of-a-test"}, {"llm.good": {"base_url": "https://other.example"}})
        opened = await opens.open("llm", provider(good))
        other = await opens.open("second", provider(good))
        assert opened.alive().key.reveal() == "key-of-a-test"
        assert (opened.alive().base_url, other.alive().base_url) == ("https://other.example", "https://good.example")
        await opened.close()
        await other.close()


async def test_a_missing_key_is_told_before_anything_is_opened() -> None:
    """The error has the name of its parameter."""
    async with anyio.create_task_group() as tasks:
        with pytest.raises(MissingKey, match="The provider 'good' needs the key 'api_key'"):
            await opener(tasks, {"spare_key": "key-of-a-test"}).open("llm", provider(good))
    assert log == []


@pytest.mark.parametrize(
    ("failure", "family", "retryable"),
    [
        (ConnectionError(WORDS), StartFailed, False),
        (ExceptionGroup(WORDS, [ValueError(WORDS)]), StartFailed, False),
        (SystemExit(WORDS), StartFailed, False),
        (ProviderError("acme", "timeout"), StartFailed, True),
        (ExceptionGroup(WORDS, [ProviderError("acme", "timeout")]), StartFailed, True),
        (RequestError("Not today."), RequestError, False),
    ],
)
@pytest.mark.parametrize("function", [broken, hasty])
async def test_a_service_that_does_not_open_is_told_in_our_words(
    function: Any, failure: BaseException, family: type[RequestError], retryable: bool
) -> None:
    """The text is the author's own if the author has written it for the client. Nothing is left open."""
    failures[:] = [failure]
    async with anyio.create_task_group() as tasks:
        with pytest.raises(RequestError) as raised:
            await opener(tasks).open("llm", provider(function))
        assert type(raised.value) is family
        assert raised.value.retryable is retryable
        assert WORDS not in str(raised.value.to_json())


async def test_a_service_that_takes_too_long_is_given_up() -> None:
    """What it had started is closed, and the start may be tried again."""
    async with anyio.create_task_group() as tasks:
        with pytest.raises(StartFailed, match=r"'llm' \(slow\) did not open within 0.01 s") as raised:
            await opener(tasks, seconds=0.01).open("llm", provider(slow))
        assert raised.value.retryable
    assert log == ["open slow", "close slow"]


async def test_an_opening_that_is_given_up_leaves_nothing_open() -> None:
    """The caller is cancelled. What was started is cancelled too."""
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as openers:
                openers.start_soon(opener(tasks).open, "llm", provider(slow))
                await settle()
                assert log == ["open slow"]
                scope.cancel()
    assert log == ["open slow", "close slow"]


async def test_an_opening_that_is_given_up_at_once_leaves_nothing_open() -> None:
    """Its task may have started or not."""
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await opener(tasks).open("llm", provider(plain))
    assert log.count("open plain") == log.count("close plain")


# ---- closing -------------------------------------------------------------------------------------------------------


async def test_services_are_closed_in_any_order_and_each_once() -> None:
    """Each one holds a task group, which the task that entered it must leave."""
    async with anyio.create_task_group() as tasks:
        opens = opener(tasks, {"api_key": "key-of-a-test"})
        first = await opens.open("llm", provider(good))
        second = await opens.open("other", provider(plain))
        await first.close()
        await second.close()
        await second.close()
    assert log == ["open good", "open plain", "close good", "close plain"]


async def test_a_service_that_does_not_close_is_cancelled() -> None:
    """It is cancelled after `Limits.close_seconds`, and is closed then."""
    async with anyio.create_task_group() as tasks:
        opened = await opener(tasks).open("llm", provider(clinging))
        await opened.close(0.01)
    assert log == ["open clinging", "close clinging"]


async def test_a_service_stays_open_when_the_session_is_cancelled() -> None:
    """It ends when it is closed, so that its last messages are sent."""
    async with anyio.create_task_group() as tasks:
        opened = await opener(tasks).open("llm", provider(plain))
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await anyio.lowlevel.checkpoint()
            assert log == ["open plain"]
            await opened.close()
    assert log == ["open plain", "close plain"]


async def test_a_service_that_raises_when_it_is_closed_affects_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    """The log has the name of the exception."""
    with caplog.at_level(logging.INFO, "rtvi_plugins"):
        async with anyio.create_task_group() as tasks:
            opened = await opener(tasks).open("llm", provider(sore))
            await opened.close()
    assert log == ["open sore", "close sore"]
    assert "the service 'llm' (sore) raised RuntimeError" in caplog.text
    assert WORDS not in caplog.text


# ---- dying ---------------------------------------------------------------------------------------------------------


async def test_a_service_that_dies_is_a_vendor_that_is_not_available(caplog: pytest.LogCaptureFixture) -> None:
    """Calls from then on get this error. The other services continue."""
    with caplog.at_level(logging.INFO, "rtvi_plugins"):
        async with anyio.create_task_group() as tasks:
            opens = opener(tasks, {"api_key": "key-of-a-test"})
            dying, other = await opens.open("llm", provider(plain)), await opens.open("other", provider(good))
            dying.alive().dies.set()
            await settle()
            with pytest.raises(ProviderError, match="plain is not available") as raised:
                dying.alive()
            assert raised.value.retryable
            assert other.alive()
            await dying.close()
            await other.close()
    assert "the service 'llm' (plain) raised ConnectionError" in caplog.text
    assert WORDS not in caplog.text


# ---- through a session ---------------------------------------------------------------------------------------------


@bot(services={"one": "plain", "two": "plain", "three": "plain"}, public=True)
async def choir(session: Session, /, one: LLM, two: LLM, three: LLM) -> None:
    """A bot with three services of one kind."""


@bot(services={"one": "plain", "two": "broken", "three": "plain"}, public=True)
async def half_choir(session: Session, /, one: LLM, two: LLM, three: LLM) -> None:
    """A bot whose second service does not open."""


async def test_a_session_opens_its_services_in_order_and_closes_them_in_reverse() -> None:
    """The order is that of the bot's `services=`."""
    clock = ManualClock()
    async with host_of(choir, clock=clock) as host:
        async with connection_to(host, clock):
            assert (len(opened), closed) == (3, [])
        await settle()
    assert closed == [*reversed(opened)]


async def test_a_session_that_does_not_start_closes_what_was_open() -> None:
    """It opens no service after the one that failed."""
    failures[:] = [ConnectionError(WORDS)]
    async with host_of(half_choir) as host:
        with pytest.raises(StartFailed):
            await host.start({})
        await settle()
    assert log == ["open plain", "open broken", "close plain"]


async def test_a_transports_task_that_raises_ends_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    """The log has the name of the task."""

    async def carry(line: str) -> None:
        raise EOFError(line)

    async with host_of(half_choir) as host:
        host.start_soon(carry, "the line is dead")
        await settle()
        assert host.draining is False
    assert [each for each in caplog.messages if "carry" in each and "EOFError" in each]
