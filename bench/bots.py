"""The bots and providers that are measured, and a session with one of them, in memory."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Annotated, Any

import anyio
from attrs import define, field
from attrs.validators import ge, le
from messages import READY

from rtvi_plugins import LLM, STT, TTS, Failover, ProviderError, Session, action, bot, converse, options, service
from rtvi_plugins.hosting import Connection, Host, Limits
from rtvi_plugins.kinds import LLMPiece, LLMRequest, STTPiece, STTRequest, Text, TTSPiece, TTSRequest
from rtvi_plugins.resuming import SessionStore

#: Limits that refuse nothing, because they are not measured.
UNBOUNDED = Limits(
    rate=1e9, burst=10**9, in_flight=1_024, sessions=100_000, unclaimed=100_000, unclaimed_per_address=100_000
)


@define
class Quiet:
    """A service of any kind that does nothing."""

    model: str = ""
    language: str = ""

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        return
        yield

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        return
        yield

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        return
        yield


@service("stt", "quiet")
@asynccontextmanager
async def quiet_stt() -> AsyncGenerator[Quiet]:
    """Hears nothing."""
    yield Quiet()


@service("llm", "quiet")
@asynccontextmanager
async def quiet_llm() -> AsyncGenerator[Quiet]:
    """Answers nothing."""
    yield Quiet()


@service("tts", "quiet")
@asynccontextmanager
async def quiet_tts() -> AsyncGenerator[Quiet]:
    """Says nothing."""
    yield Quiet()


@options(quiet_stt, quiet_llm, quiet_tts)
def configure(quiet: Quiet, /, model: str = "some-model", language: str = "en") -> None:
    """Store two values."""
    quiet.model, quiet.language = model, language


# ---- actions -------------------------------------------------------------------------------------------------------


@action(quiet_tts)
async def say(tts: Quiet, /, text: str, interrupt: bool) -> str:
    """The text."""
    return text


@action(quiet_tts, repeatable=True)
async def repeat(tts: Quiet, /, text: str, interrupt: bool) -> str:
    """Return the same text, without an effect that a store must write."""
    return text


@action(quiet_tts)
async def tune(tts: Quiet, /, text: str, volume: Annotated[float, ge(0), le(1)], fast: bool, times: int) -> bool:
    """Four arguments that can all be wrong at once."""
    return True


@bot(services={"tts": ["quiet"]}, client=["tts:say", "tts:repeat", "tts:tune"], public=True)
async def speaker(session: Session, /, tts: TTS) -> None:
    """Has an action to call."""


@bot(client=["bot:wait", "bot:block", "bot:echo"], public=True)
async def desk(session: Session, /) -> None:
    """Has slow actions."""


@action(desk)
async def wait(session: Session, /, seconds: float) -> bool:
    """Wait as a coroutine does."""
    await anyio.sleep(seconds)
    return True


@action(desk)
def block(seconds: float) -> bool:
    """Wait as a plain function does, in a thread."""
    time.sleep(seconds)
    return True


@action(desk)
async def echo(session: Session, /, text: str) -> str:
    """The text."""
    return text


@bot(services={"stt": ["quiet"], "llm": ["quiet"], "tts": ["quiet"]}, client=["tts:say"], public=True)
async def assistant(session: Session, /, stt: STT, llm: LLM, tts: TTS) -> None:
    """Has three services, and stays until its client leaves."""
    await anyio.sleep_forever()


def crowd(count: int) -> tuple[Callable[..., Any], ModuleType]:
    """A bot with this many actions, and the module that declares them."""

    @bot(client=[f"bot:say{number}" for number in range(count)], public=True)
    async def crowded(session: Session, /) -> None:
        """Has many actions."""

    module = ModuleType("bench_crowd")
    for number in range(count):

        async def saying(session: Session, /, text: str, interrupt: bool) -> str:
            """The text."""
            return text

        saying.__name__ = saying.__qualname__ = f"say{number}"
        saying.__module__ = module.__name__
        setattr(module, saying.__name__, action(crowded)(saying))
    return crowded, module


# ---- ten options ---------------------------------------------------------------------------------------------------

TEN = [f"option{number}" for number in range(10)]


@define
class Tuned:
    """Keeps ten values."""

    values: dict[str, str] = field(factory=dict[str, str])

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        return
        yield


@service("llm", "tuned")
@asynccontextmanager
async def tuned_llm() -> AsyncGenerator[Tuned]:
    """Has ten options."""
    yield Tuned()


@options(tuned_llm)
def ten(
    llm: Tuned,
    /,
    option0: str = "",
    option1: str = "",
    option2: str = "",
    option3: str = "",
    option4: str = "",
    option5: str = "",
    option6: str = "",
    option7: str = "",
    option8: str = "",
    option9: str = "",
) -> None:
    """Store ten values."""
    llm.values = {"option0": option0, "option9": option9}


@bot(services={"llm": ["tuned"]}, client=[f"llm.{name}" for name in TEN], public=True)
async def tunable(session: Session, /, llm: LLM) -> None:
    """Has ten options to set."""


# ---- failover ------------------------------------------------------------------------------------------------------


@define
class Named:
    """An LLM that says its name at once, or fails."""

    name: str
    error: Exception | None

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        if self.error is not None:
            raise self.error
        yield Text(self.name)


def vendors(*, fails: bool) -> ModuleType:
    """Return the providers `first`, which may fail, and `second`. Empty answers are not kept: each turn asks both."""
    module = ModuleType("vendors")

    def add(name: str, error: Exception | None) -> None:
        @asynccontextmanager
        async def open_named() -> AsyncGenerator[Named]:
            yield Named(name, error)

        open_named.__module__ = module.__name__
        setattr(module, name, service("llm", name)(open_named))

    add("first", ProviderError("first", "no-answer") if fails else None)
    add("second", None)
    return module


@bot(services={"llm": "first"}, public=True)
async def first_alone(session: Session, /, llm: LLM) -> None:
    """Has one provider."""
    await converse(session, llm=llm)


@bot(services={"llm": Failover("first", "second")}, public=True)
async def first_or_second(session: Session, /, llm: LLM) -> None:
    """Has a provider with an alternative."""
    await converse(session, llm=llm)


# ---- sessions ------------------------------------------------------------------------------------------------------


def host_of(
    found: Callable[..., Any],
    *modules: ModuleType,
    limits: Limits = UNBOUNDED,
    store: SessionStore | None = None,
    keep: bool = False,
) -> Host:
    """A host that finds its bot's providers in this module. With `keep`, it keeps the history of sessions."""
    kept: dict[str, Any] = {"keep_days": 1.0} if keep else {}  # an older commit does not know it
    return Host(found, modules=[sys.modules[__name__], *modules], environ={}, limits=limits, store=store, **kept)


async def start(host: Host) -> Connection:
    """A session whose client is ready."""
    connection = host.claim((await host.start()).token)
    connection.receive(READY)
    await connection.outgoing()
    return connection


@asynccontextmanager
async def connected(found: Callable[..., Any], *modules: ModuleType) -> AsyncGenerator[Connection]:
    """A session with a bot, for as long as this is held."""
    async with host_of(found, *modules) as host:
        connection = await start(host)
        yield connection
        connection.disconnected()
