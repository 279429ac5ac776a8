"""The object that a provider yields is checked against its kind's Protocol. The log names the provider."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial, wraps
from typing import Any, Protocol, runtime_checkable

import pytest

from rtvi_plugins import LLM, Kind, Session, action, bot, service
from rtvi_plugins.errors import StartFailed
from rtvi_plugins.hosting import Host
from rtvi_plugins.kinds import STT, TTS, VAD, Audio, LLMRequest, Text, ToolCall
from rtvi_plugins.runtime.service_check import misfit


@runtime_checkable
class Avatar(Protocol):
    """A kind of a plugin."""

    name: str

    async def show(self, mood: str, /, *, seconds: float = 1.0) -> str:
        """A coroutine."""
        ...

    def moods(self) -> list[str]:
        """A plain function."""
        ...

    def frames(self, rate: int, /) -> AsyncIterator[bytes]:
        """A stream."""
        ...


AVATAR = Kind("avatar", Avatar)


class Fine:
    """Has all methods, in unusual forms."""

    name = "fine"

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[Text | ToolCall]:
        """Annotated with some of the pieces."""
        yield Text("")

    def synthesize(self, *requests: Any) -> Any:
        """A plain function that returns a stream."""

    def transcribe(self, request: Any, more: int = 0) -> AsyncIterator[Any]:
        """Pieces without an annotation."""
        raise NotImplementedError

    def speech_probability(self, frame: Audio) -> float:
        """A plain function."""
        return 0.0

    async def show(self, mood: str, *, seconds: float = 2.0, more: int = 0) -> str:
        """Has one more parameter, with a default."""
        return mood

    def moods(self) -> list[str]:
        """A plain function."""
        return []

    async def frames(self, rate: int) -> AsyncGenerator[bytes]:
        """A stream."""
        yield b""


@pytest.mark.parametrize("protocol", [LLM, TTS, STT, VAD, Avatar])
def test_an_object_that_does_all_of_it_fits(protocol: type) -> None:
    """Its methods may also accept more than the Protocol needs."""
    assert misfit(Fine(), protocol) is None


async def a_coroutine(self: object, request: LLMRequest) -> str:
    """A coroutine in place of a stream."""
    return ""


async def yields_text(self: object, request: LLMRequest) -> AsyncGenerator[str]:
    """Yield a value that is not a piece."""
    yield ""


async def yields_either(self: object, request: LLMRequest) -> AsyncGenerator[Text | str]:
    """Be annotated with a piece and another type."""
    yield ""


def a_generator(self: object, request: LLMRequest) -> Iterator[Text]:
    """A generator in place of a stream."""
    yield Text("")


async def takes_nothing(self: object) -> AsyncGenerator[Text]:
    """Take no argument."""
    yield Text("")


async def takes_two(self: object, request: LLMRequest, model: str) -> AsyncGenerator[Text]:
    """Take one argument too many."""
    yield Text("")


async def takes_it_by_name(self: object, *, request: LLMRequest) -> AsyncGenerator[Text]:
    """Take the argument by name only."""
    yield Text("")


RESPONDING: list[tuple[Any, str]] = [
    (a_coroutine, "its respond() is a coroutine function. Write async def with yield, or def and return an async"),
    (a_generator, "its respond() is a generator. Write async def with yield"),
    (yields_text, "its respond() yields str. Yield Text or Thought or ToolCall or Usage"),
    (yields_either, "its respond() yields str. Yield Text"),
    (takes_nothing, "its respond() takes nothing, but it is called as respond(request)"),
    (takes_two, "its respond() takes request, model, but it is called as respond(request)"),
    (takes_it_by_name, "its respond() takes request, but it is called as respond(request)"),
    ("text", "its respond is not a method"),
]


@pytest.mark.parametrize(("respond", "message"), RESPONDING)
def test_a_method_that_cannot_be_used_is_explained(respond: Any, message: str) -> None:
    """The explanation says what to write instead."""
    found = misfit(type("Acme", (), {"respond": respond})(), LLM)
    assert found is not None
    assert message in found


async def late(*args: Any, **more: Any) -> Any:
    """A coroutine in place of a plain function."""


async def streaming(*args: Any) -> AsyncGenerator[Any]:
    """A stream in place of a coroutine."""
    yield


def logged(function: Callable[..., Awaitable[str]]) -> Callable[..., Awaitable[str]]:
    """A wrapper that is not itself a coroutine function."""

    @wraps(function)
    def logging(*args: Any, **more: Any) -> Awaitable[str]:
        return function(*args, **more)

    return logging


def short(self: object, mood: str) -> str:
    """Take too few arguments."""
    return mood


METHODS: list[tuple[type, str, Any, str | None]] = [
    (VAD, "speech_probability", late, "is a coroutine function. It is called without await: write def with return"),
    (VAD, "speech_probability", streaming, "is an async generator. It is called without await"),
    (TTS, "synthesize", late, "its synthesize() is a coroutine function. Write async def with yield"),
    (STT, "transcribe", late, "its transcribe() is a coroutine function. Write async def with yield"),
    (Avatar, "show", streaming, "its show() is an async generator. Write async def with return"),
    (Avatar, "show", short, "but it is called as show(mood, seconds=…)"),
    (Avatar, "show", logged(late), None),
    (Avatar, "moods", late, "its moods() is a coroutine function. It is called without await"),
    (Avatar, "frames", late, "its frames() is a coroutine function. Write async def with yield"),
    (Avatar, "frames", staticmethod(partial(streaming)), None),  # bare, Python 3.13 warns of it
]


@pytest.mark.parametrize(("protocol", "name", "method", "message"), METHODS)
def test_every_kind_is_held_to_its_protocol(protocol: type, name: str, method: Any, message: str | None) -> None:
    """Kinds of plugins are checked too. Methods that cannot be inspected are accepted."""
    found = misfit(type("Acme", (Fine,), {name: method})(), protocol)
    assert found is None if message is None else message in (found or "")


def test_what_is_not_there_is_named() -> None:
    """All missing methods are named."""
    assert misfit(object(), Avatar) == "it has no frames(), moods(), name(), show()"


@service("llm", "acme")
@asynccontextmanager
async def acme_llm() -> AsyncGenerator[Any]:
    """A provider whose object is not an LLM."""
    yield type("Acme", (), {"respond": a_coroutine})()


@action(acme_llm)
async def nothing(llm: Any, /) -> None:
    """An options function that sets nothing."""


@bot(services={"llm": "acme"}, public=True)
async def receptionist(session: Session, /, llm: LLM) -> None:
    """A bot whose session never starts."""


@pytest.mark.anyio
async def test_a_service_that_does_not_fit_is_not_started_and_the_log_names_its_provider(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The client is told only which service it is."""
    async with Host(receptionist, environ={}) as host:
        refusal = r"The service 'llm' \(acme\) does not implement its kind\."
        with caplog.at_level(logging.ERROR), pytest.raises(StartFailed, match=refusal):
            await host.start({})
    (message,) = caplog.messages
    assert message.startswith("The service 'llm' (acme): acme_llm() (")
    assert "test_service_check.py" in message
    assert "yields Acme, which does not implement LLM: its respond() is a coroutine function." in message


class Parrot:
    """An LLM."""

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[Text]:
        """Say one word."""
        yield Text("hello")


#: What the next provider yields, one after the other.
yields: list[Any] = []


@service("llm", "listed")
@asynccontextmanager
async def listed_llm() -> AsyncGenerator[Any]:
    """A provider that yields what the test wants."""
    for each in yields:
        yield each


@bot(services={"llm": "listed"}, public=True)
async def listed(session: Session, /, llm: LLM) -> None:
    """A bot whose provider may yield anything."""


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([], " ends without a yield. Yield the value once."),
        ([None], " yields None, which does not implement LLM: it has no respond()."),
        ([Parrot], " yields the class Parrot itself, which does not implement LLM: yield an object of it, as in"),
    ],
)
async def test_the_log_says_what_a_provider_yields_instead_of_a_service(
    values: list[Any], problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It names the function of the provider."""
    yields[:] = values
    async with Host(listed, environ={}) as host:
        with caplog.at_level(logging.ERROR), pytest.raises(StartFailed):
            await host.start({})
    assert f"listed_llm() ({__file__}:" in caplog.messages[0]
    assert problem in caplog.messages[0]


@service("llm", "returned")
@asynccontextmanager
def returned_llm() -> Any:
    """A provider that returns its service."""
    return Parrot()


@service("llm", "plain")
def plain_llm() -> Any:
    """A provider that is no context manager."""
    return Parrot()


@bot(services={"llm": ["returned", "plain"]}, client=["llm.provider"], public=True)
async def returning(session: Session, /, llm: LLM) -> None:
    """A bot whose providers yield nothing."""


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("provider", "problem"),
    [
        ("returned", " returns its value. Write async def, and yield the value."),
        (
            "plain",
            " returns Parrot, which is not an async context manager. Write async def under @asynccontextmanager",
        ),
    ],
)
async def test_the_log_says_that_a_provider_returns_its_service(
    provider: str, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Python's own exceptions name no function."""
    async with Host(returning, environ={}) as host:
        with caplog.at_level(logging.ERROR), pytest.raises(StartFailed):
            await host.start({"services": {"llm": provider}})
    assert f"{provider}_llm() ({__file__}:" in caplog.messages[0]
    assert problem in caplog.messages[0]


@pytest.mark.anyio
async def test_the_log_says_that_a_provider_yields_twice(caplog: pytest.LogCaptureFixture) -> None:
    """It is known when the session ends."""
    yields[:] = [Parrot(), Parrot()]
    with caplog.at_level(logging.ERROR):
        async with Host(listed, environ={}) as host:
            await host.start({})
    (message,) = caplog.messages
    assert message.startswith(f"the service 'llm' (listed): listed_llm() ({__file__}:")
    assert "yields a second time. Yield the value once." in message


def test_an_object_with_a_method_of_its_own_is_checked_by_itself() -> None:
    """The check of a class is remembered; an object that replaces one of its methods is checked again."""

    class Checked:
        def speech_probability(self, frame: Audio, /) -> float:
            return 0.0

    replaced = Checked()
    assert misfit(Checked(), VAD) is None
    vars(replaced)["speech_probability"] = lambda: 0.0
    assert (misfit(replaced, VAD) or "").startswith("its speech_probability() takes nothing, but it is called as")
