"""Lifespans: what is opened once for the whole process, and which functions receive it."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from attrs import define, field

from rtvi_plugins import LLM, RequestError, Secret, Session, action, bot, lifespan, options, service
from rtvi_plugins.client import open_client
from rtvi_plugins.errors import PluginError
from rtvi_plugins.hosting import Host, Limits
from rtvi_plugins.kinds import LLMRequest, Text
from rtvi_plugins.testing import ConnectionStream, connect, host_for

pytestmark = pytest.mark.anyio

log: list[str] = []


@define(eq=False)
class Menu:
    """An object that a bot keeps for the whole process."""

    prices: Mapping[str, float]
    served: int = 0


@define(eq=False)
class Model:
    """An object that a provider loads once for the whole process."""

    url: str
    voices: list[str] = field(factory=list[str])


@lifespan
@asynccontextmanager
async def menu() -> AsyncGenerator[Menu]:
    """Open the menu."""
    log.append("menu opens")
    try:
        yield Menu({"margherita": 8.5})
    finally:
        await anyio.lowlevel.checkpoint()
        log.append("menu closes")


@lifespan
@asynccontextmanager
async def model(url: Secret, token: Secret | None, /) -> AsyncGenerator[Model]:
    """Load the model."""
    log.append("model opens")
    yield Model(url.reveal() if token is None else token.reveal())
    log.append("model closes")


@lifespan
@asynccontextmanager
async def warm() -> AsyncGenerator[None]:
    """Yield nothing. So it is opened for every bot of the module."""
    log.append("warm opens")
    async with anyio.create_task_group():
        yield
    log.append("warm closes")


class Loaded:
    """An LLM that uses the model of the process."""

    def __init__(self, model: Model, key: str) -> None:
        self.model, self.key = model, key

    async def respond(self, request: LLMRequest, /) -> AsyncIterator[Text]:
        """Say which model it is."""
        yield Text(self.model.url)


@service("llm", "loaded")
@asynccontextmanager
async def loaded(model: Model, api_key: Secret, /, suffix: str = "") -> AsyncGenerator[Loaded]:
    """A provider that takes the model, a key, and a service option."""
    log.append("llm opens")
    yield Loaded(model, api_key.reveal() + suffix)
    log.append("llm closes")


@options(loaded)
def voice(llm: Loaded, model: Model, /, voice: str = "ada") -> None:
    """A provider that takes the model too."""
    model.voices.append(voice)


@action(loaded)
async def which(llm: Loaded, session: Session, model: Model, /) -> list[Any]:
    """Return whether the model is that of the service."""
    return [llm.model is model, model.url, llm.key, model.voices]


@bot(services={"llm": "loaded"}, client=["bot:price", "bot:served", "llm:which"], public=True)
async def pizzeria(session: Session, menu: Menu, /, llm: LLM) -> None:
    """A bot that takes the menu."""
    menu.served += 1


@action(pizzeria)
def price(menu: Menu, /, pizza: str) -> float:
    """Take the menu in a thread."""
    return menu.prices[pizza]


@action(pizzeria)
async def served(llm: LLM, menu: Menu, session: Session, /) -> int:
    """Take the menu beside the session and a service."""
    return menu.served


@bot(public=True)
async def other(session: Session, /) -> None:
    """A bot that needs neither the menu nor the model."""


OPERATOR = "the operator of a test"
KEYS = {"MODEL_URL": "the model of a test", "LOADED_API_KEY": "key-of-a-test"}


def host(**more: Any) -> Host:
    """A host of the pizzeria, with its keys in the environment."""
    return Host(pizzeria, environ=KEYS, operator_secret=Secret(OPERATOR), **more)


async def test_a_lifespan_is_opened_before_the_first_session_and_closed_after_the_last() -> None:
    """Lifespans are opened in the order of their declaration, and closed in reverse order."""
    log.clear()
    async with host() as running:
        assert log == ["menu opens", "model opens", "warm opens"]
        await running.start()
        await running.start()
        assert log[3:] == ["llm opens", "llm opens"]
    assert log[5:] == ["llm closes", "llm closes", "warm closes", "model closes", "menu closes"]


async def test_its_value_is_passed_before_the_slash() -> None:
    """Bots and their actions receive it, and services with their options and actions."""
    async with host() as running:
        for count in (1, 2):
            started = await running.start({"service_options": {"llm.loaded": {"suffix": "!"}}}, secret=OPERATOR)
            async with open_client(ConnectionStream(running.claim(started.token))) as client:
                assert await client.action("bot:price", pizza="margherita") == 8.5
                assert await client.action("bot:served") == count
                assert await client.action("llm:which") == [
                    True,
                    "the model of a test",
                    "key-of-a-test!",
                    ["ada"] * count,
                ]


async def test_only_what_a_bot_needs_is_opened() -> None:
    """A lifespan that yields nothing is opened for every bot of its module."""
    log.clear()
    async with connect(other):
        assert log == ["warm opens"]


async def test_a_missing_key_is_reported_at_the_start() -> None:
    """The error names the variable to set. Nothing stays open."""
    log.clear()
    with pytest.raises(PluginError) as raised:
        async with host_for(pizzeria):
            raise AssertionError("it must not open")
    assert "The lifespan model() (" in str(raised.value)
    assert ") of the bot pizzeria needs the key 'url'. Set MODEL_URL." in str(raised.value)
    assert log == ["menu opens", "menu closes"]


# ---- failures --------------------------------------------------------------------------------------------------------

failure: dict[str, Any] = {}


@define
class Pool:
    """An object whose lifespan may fail."""


@lifespan
@asynccontextmanager
async def pool() -> AsyncGenerator[Pool]:
    """Fail as the test wants."""
    if "open" in failure:
        raise failure["open"]
    if "stuck" in failure:
        failure["stuck"].set()
        try:
            await anyio.sleep_forever()
        finally:
            log.append("pool was cancelled")
    for value in failure.get("values", [failure.get("value", Pool())]):
        yield value
    log.append("pool closes")
    if failure.get("hangs"):
        await anyio.sleep_forever()
    if "close" in failure:
        raise failure["close"]


@bot(public=True)
async def needy(session: Session, pool: Pool, /) -> None:
    """A bot that needs the pool."""


@pytest.fixture(autouse=True)
def no_failure() -> None:
    """No lifespan fails at the start of a test."""
    failure.clear()
    log.clear()


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (OSError("the password is hunter2"), "cannot open: it raised OSError."),
        (SystemExit(3), "cannot open: "),
        (BaseExceptionGroup("", [OSError("no route")]), "cannot open: it raised OSError."),
        (RequestError("Start the database first."), "cannot open: Start the database first."),
    ],
)
async def test_a_lifespan_that_does_not_open_is_named_with_its_owner(error: BaseException, problem: str) -> None:
    """The text of an exception is shown only if its author wrote it for others."""
    failure["open"] = error
    with pytest.raises(PluginError) as raised:
        async with host_for(needy):
            raise AssertionError("it must not open")
    assert "The lifespan pool() (" in str(raised.value)
    assert f") of the bot needy {problem}" in str(raised.value)
    assert "hunter2" not in str(raised.value)
    assert log == ["warm opens", "warm closes"]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("no pool", "yields str, but its annotation names Pool. Change one of them."),
        (None, "yields None. Yield an object of Pool."),
        (Pool, "yields the class Pool itself. Yield an object of Pool."),
        (Model, "yields the class Model itself, but its annotation names Pool. Change one of them."),
    ],
)
async def test_a_value_of_another_class_is_reported_at_the_start(value: object, problem: str) -> None:
    """Functions that take the value rely on the annotation."""
    failure["value"] = value
    with pytest.raises(PluginError, match=re.escape(problem)):
        async with host_for(needy):
            raise AssertionError("it must not open")
    assert "pool closes" in log


async def test_a_lifespan_that_does_not_yield_is_reported_at_the_start() -> None:
    """The error says it in words of the author. The exception of `contextlib` does not name the function."""
    failure["values"] = []
    problem = "of the bot needy cannot open: it ends without a yield. Yield the value once."
    with pytest.raises(PluginError, match=problem):
        async with host_for(needy):
            raise AssertionError("it must not open")


async def test_a_second_yield_of_a_lifespan_is_reported_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """What follows the second yield does not run."""
    failure["values"] = [Pool(), Pool()]
    async with host_for(needy):
        pass
    assert f"the lifespan pool() ({__file__}" in caplog.text
    assert "of the bot needy: it yields a second time. Yield the value once." in caplog.text


async def test_a_context_manager_inside_of_a_lifespan_is_not_taken_for_it() -> None:
    """The author of the lifespan has made no mistake with its own yield."""

    @asynccontextmanager
    async def empty() -> AsyncGenerator[None]:
        for each in list[None]():
            yield each

    with pytest.raises(RuntimeError) as raised:
        await empty().__aenter__()
    failure["open"] = raised.value
    with pytest.raises(PluginError, match="cannot open: it raised RuntimeError"):
        async with host_for(needy):
            raise AssertionError("it must not open")


@pytest.mark.parametrize("error", [OSError("broken"), SystemExit(1), KeyboardInterrupt()])
async def test_a_failure_while_closing_is_logged_and_affects_nothing_else(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """The other lifespans are closed nevertheless."""
    caplog.set_level(logging.ERROR, "rtvi_plugins")
    failure["close"] = error
    async with connect(needy):
        pass
    assert "pool closes" in log
    assert "warm closes" in log
    assert f"the lifespan pool() ({__file__}" in caplog.text
    assert f"raised {type(error).__name__}" in caplog.text


async def test_a_lifespan_that_does_not_close_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    """It is cancelled after the same time as a service."""
    failure["hangs"] = True
    async with host_for(needy, limits=Limits(close_seconds=0.01)):
        pass
    assert "has not closed within 0.01 s, and is cancelled" in caplog.text


async def test_a_host_that_is_cancelled_closes_its_lifespans() -> None:
    """Ctrl-C cancels it in this way."""
    with anyio.CancelScope() as scope:
        async with host_for(needy):
            scope.cancel()
            await anyio.sleep_forever()
    assert "pool closes" in log


async def test_an_exception_of_the_body_comes_out_as_it_is() -> None:
    """It is not put into an exception group."""
    with pytest.raises(ValueError, match="of the body"):
        async with host_for(needy):
            raise ValueError("of the body")


async def test_opening_that_is_cancelled_leaves_nothing_open() -> None:
    """A lifespan may take long to open, and the operator may stop the server before."""
    failure["stuck"] = stuck = anyio.Event()

    async def enter() -> None:
        async with host_for(needy, limits=Limits(open_seconds=0.001)):
            raise AssertionError("it must not open")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(enter)
        await stuck.wait()
        tasks.cancel_scope.cancel()
    assert log == ["warm opens", "pool was cancelled", "warm closes"]
