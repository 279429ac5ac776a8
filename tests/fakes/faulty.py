"""A bot that fails in every possible way, and notes what it has opened and closed."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import anyio
import anyio.lowlevel
from attrs import define, field
from attrs.validators import ge, le

from rtvi_plugins import LLM, TTS, ProviderError, RequestError, Secret, Session, Was, action, bot, options, service
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text, TTSPiece, TTSRequest
from rtvi_plugins.session import UserText

__all__ = ("WORDS", "Ledger", "clinging_bot", "faulty", "ledger", "slow_bot", "talker")

#: Stands in the text of every exception that is raised here; no client may ever read it.
WORDS = "words-of-an-exception"


@define
class Ledger:
    """What was opened and closed, in order, and the threads that wait until a test lets them continue."""

    opened: list[str] = field(factory=list[str])
    closed: list[str] = field(factory=list[str])
    applied: list[str] = field(factory=list[str])
    seen: list[str] = field(factory=list[str])
    blocked: Counter[str] = field(factory=Counter[str])
    release: threading.Event = field(factory=threading.Event)
    left: threading.Semaphore = field(factory=lambda: threading.Semaphore(0))

    @property
    def open(self) -> Counter[str]:
        """What is open."""
        return Counter(self.opened) - Counter(self.closed)


#: What is noted here. A test that reads it has a copy of this module: see `faults.py`.
ledger = Ledger()

NOTHING: tuple[TTSPiece, ...] = ()


@define
class FaultyLLM:
    """An LLM that says one word. `dies` makes the service end while it is open."""

    name: str
    model: str = ""
    dies: anyio.Event = field(factory=anyio.Event)

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Say one word."""
        await anyio.lowlevel.checkpoint()
        yield Text(self.name)


@define
class QuietTTS:
    """A TTS that says nothing."""

    voice: str = ""

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        """Read the text, and say nothing."""
        async for _ in request.text:
            pass
        for piece in NOTHING:
            yield piece


@asynccontextmanager
async def counted(name: str, llm: FaultyLLM | None = None) -> AsyncGenerator[None]:
    """Count a service as open. It dies when the test wants it."""

    async def die(dies: anyio.Event) -> None:
        await dies.wait()
        raise ConnectionError(WORDS)

    ledger.opened.append(name)
    try:
        async with anyio.create_task_group() as tasks:
            if llm is not None:
                tasks.start_soon(die, llm.dies)
            yield
            tasks.cancel_scope.cancel()
    finally:
        ledger.closed.append(name)


@service("llm", "first")
@asynccontextmanager
async def first_llm() -> AsyncGenerator[FaultyLLM]:
    """The provider with which a session starts."""
    llm = FaultyLLM("first")
    async with counted("llm.first", llm):
        yield llm


@service("llm", "second")
@asynccontextmanager
async def second_llm(api_key: Secret | None, /, base_url: str = "https://second.example") -> AsyncGenerator[FaultyLLM]:
    """The provider to which a session can switch."""
    llm = FaultyLLM("second")
    async with counted("llm.second", llm):
        yield llm


@asynccontextmanager
async def refused(words: str) -> AsyncGenerator[None]:
    """A provider that refuses to open."""
    if words:
        raise ConnectionError(words)
    yield


@service("llm", "broken")
@asynccontextmanager
async def broken_llm() -> AsyncGenerator[FaultyLLM]:
    """A provider that does not open."""
    async with refused(WORDS):
        yield FaultyLLM("broken")


@service("tts", "quiet")
@asynccontextmanager
async def quiet_tts() -> AsyncGenerator[QuietTTS]:
    """A TTS that says nothing."""
    async with counted("tts.quiet"):
        yield QuietTTS()


@service("llm", "slow")
@asynccontextmanager
async def slow_llm() -> AsyncGenerator[FaultyLLM]:
    """A provider that does not finish opening."""
    ledger.opened.append("llm.slow")
    try:
        await anyio.sleep_forever()
        yield FaultyLLM("slow")
    finally:
        ledger.closed.append("llm.slow")


@service("llm", "clinging")
@asynccontextmanager
async def clinging_llm() -> AsyncGenerator[FaultyLLM]:
    """A provider that does not close."""
    ledger.opened.append("clinging")
    try:
        yield FaultyLLM("clinging")
        await anyio.sleep_forever()
    finally:
        ledger.closed.append("clinging")


# ---- options -------------------------------------------------------------------------------------------------------


@options(first_llm)
def configure(
    llm: FaultyLLM,
    /,
    model: Annotated[Literal["small", "large"] | str, Was("engine")] = "small",
    temperature: Annotated[float, ge(0), le(2)] = 0.7,
) -> None:
    """Options of the first provider; the model "breaks" cannot be set."""
    ledger.applied.append(f"model={model} temperature={temperature:g}")
    if model == "breaks":
        raise RuntimeError(WORDS)
    llm.model = model


@options(second_llm)
def configure_second(llm: FaultyLLM, /, depth: int = 1, model: str = "deep") -> None:
    """Options of the second provider; a depth of 13 cannot be set."""
    ledger.applied.append(f"depth={depth} model={model}")
    if depth == 13:
        raise RuntimeError(WORDS)
    llm.model = model


@options(first_llm, second_llm)
def pace(llm: FaultyLLM, /, pace: Literal["slow", "fast", "exits", "vendor"] = "slow") -> None:
    """A group that is declared after the others. Two of its values cannot be set."""
    ledger.applied.append(f"pace={pace}")
    if pace == "exits":
        raise SystemExit(WORDS)
    if pace == "vendor":
        raise ProviderError("first", "quota")


@options(quiet_tts)
def voice(tts: QuietTTS, /, voice: str = "mute") -> None:
    """Set the voice. The voice "breaks" cannot be set."""
    ledger.applied.append(f"voice={voice}")
    if voice == "breaks":
        raise RuntimeError(WORDS)
    tts.voice = voice


# ---- actions -------------------------------------------------------------------------------------------------------


@action(first_llm, second_llm)
async def die(llm: FaultyLLM, /) -> bool:
    """End the service without the session."""
    llm.dies.set()
    return True


@action(first_llm, second_llm)
async def name(llm: FaultyLLM, /) -> str:
    """Return the provider that answers."""
    return f"{llm.name} {llm.model}"


@action("bot")
async def echo(session: Session, /, text: str, times: Annotated[int, ge(1), le(9)] = 1) -> str:
    """Return the text, repeated."""
    ledger.seen.append(text)
    return text * times


@action("bot")
async def fail(session: Session, /) -> str:
    """Raise an exception."""
    raise RuntimeError(WORDS)


@action("bot")
async def fail_in_group(session: Session, /) -> str:
    """Raise an exception group."""
    raise ExceptionGroup(WORDS, [ValueError(WORDS), KeyError(WORDS)])


@action("bot")
async def leave(session: Session, /) -> str:
    """Raise `SystemExit`."""
    raise SystemExit(WORDS)


class Rude(BaseException):
    """An exception that is not an `Exception`."""


@action("bot")
async def be_rude(session: Session, /) -> str:
    """Raise an exception that is not an `Exception`."""
    raise Rude(WORDS)


@action("bot")
async def refuse(session: Session, /, reason: str = "Not today.") -> str:
    """Raise a `RequestError` with a sentence."""
    raise RequestError(reason)


@action("bot")
async def ask_vendor(session: Session, /) -> str:
    """Raise a `ProviderError`."""
    raise ProviderError("acme", "rate")


@action("bot")
async def hang(session: Session, /) -> str:
    """Never end."""
    ledger.blocked["hang"] += 1
    try:
        await anyio.sleep_forever()
    finally:
        ledger.blocked["hang"] -= 1
    return ""


@action("bot", deadline=2.0, repeatable=True)
async def hang_shortly(session: Session, /) -> str:
    """Never end. The deadline is two seconds."""
    await anyio.sleep_forever()
    return ""


@action("bot")
async def cling(session: Session, /) -> str:
    """Ignore the cancellation."""
    try:
        await anyio.sleep_forever()
    except anyio.get_cancelled_exc_class():
        return "still here"
    return ""


@action("bot")
async def cancel_itself(session: Session, /) -> str:
    """Raise the exception of a cancellation without being cancelled."""
    raise anyio.get_cancelled_exc_class()()


@action("bot")
async def return_text(session: Session, /) -> int:
    """Return another type than declared."""
    return "a text"  # type: ignore[return-value]


@action("bot")
async def return_set(session: Session, /) -> dict[str, Any]:
    """Return a value that JSON cannot carry."""
    return {"a": {1, 2}}


@action("bot")
async def return_huge(session: Session, /) -> int:
    """Return a number with more digits than are accepted."""
    return 2**70


@action("bot")
async def return_half(session: Session, /) -> str:
    """Return half a character."""
    return "\ud800"


@action("bot")
async def return_infinity(session: Session, /) -> float:
    """Return a number that JSON does not have."""
    return float("inf")


@action("bot")
async def return_circle(session: Session, /) -> list[Any]:
    """Return a list that contains itself."""
    circle: list[Any] = []
    circle.append(circle)
    return circle


@action("bot")
async def return_deep(session: Session, /) -> dict[str, Any]:
    """Return a value that is nested too deep."""
    deep: dict[str, Any] = {}
    for _ in range(2_000):
        deep = {"deeper": deep}
    return deep


@action("bot")
async def return_nothing(session: Session, /) -> None:
    """Return nothing."""


@action("bot")
def think(text: str = "done") -> str:
    """Run in a thread."""
    return text


@action("bot")
def fail_in_thread() -> str:
    """Raise in a thread."""
    raise StopIteration(WORDS)


@action("bot")
def block() -> str:
    """Block a thread until the test lets it continue."""
    ledger.blocked["threads"] += 1
    try:
        ledger.release.wait(60)
        return "free"
    finally:
        ledger.blocked["threads"] -= 1
        ledger.left.release()


@action("bot")
async def ask_client(session: Session, /) -> str:
    """Let the client run a function."""
    return str(await session.call_function("look", {"at": "the sky"}))


@action("bot")
async def interrupt(session: Session, /) -> bool:
    """Interrupt the bot."""
    return session.interrupt()


@action("bot")
async def end(session: Session, /) -> bool:
    """End the session from inside, at once."""
    session.close("enough", now=True)
    await anyio.sleep_forever()
    return True


@action("bot", long=True)
async def count(session: Session, /, to: int = 3) -> int:
    """Count, and report it."""
    for each in range(to):
        session.progress({"counted": each + 1})
        await anyio.lowlevel.checkpoint()
    return to


@action("bot", long=True)
async def wait_long(session: Session, /) -> int:
    """A long action that never ends by itself."""
    await anyio.sleep_forever()
    return 0


@action("bot", long=True)
async def fail_long(session: Session, /) -> int:
    """A long action that raises."""
    await anyio.lowlevel.checkpoint()
    raise RuntimeError(WORDS)


@action("bot", long=True)
async def return_set_long(session: Session, /) -> dict[str, Any]:
    """A long action that returns what JSON cannot carry."""
    return {"a": {1, 2}}


# ---- bots ----------------------------------------------------------------------------------------------------------

_OWN = """echo fail fail_in_group leave be_rude refuse ask_vendor hang hang_shortly cling cancel_itself
return_text return_set return_infinity return_circle return_deep return_huge return_half return_nothing
think fail_in_thread block ask_client interrupt end count wait_long fail_long return_set_long""".split()

_CLIENT = [
    *(f"bot:{each}" for each in _OWN),
    *"llm:die llm:name llm:append_to_messages llm:get_context llm:run tts:say tts:interrupt".split(),
    *"llm.provider llm.model llm.temperature llm.pace llm.depth llm.messages llm.run_on_config tts.voice".split(),
]


@bot(services={"llm": ["first", "second", "broken"], "tts": "quiet"}, client=_CLIENT, public=True)
async def faulty(session: Session, /, llm: LLM, tts: TTS) -> None:
    """Holds a turn for each text: one that says "long" is held until it is interrupted."""
    async for each in session.inputs():
        async with session.turn():
            if isinstance(each, UserText) and each.text == "long":
                await anyio.sleep_forever()
            await anyio.lowlevel.checkpoint()


@bot(services={"llm": "first"}, client=["bot:echo"], public=True)
async def talker(session: Session, /, llm: LLM) -> None:
    """A bot that raises when its conversation begins."""
    async for _ in session.inputs():
        raise RuntimeError(WORDS)


@bot(services={"llm": "slow"}, public=True)
async def slow_bot(session: Session, /, llm: LLM) -> None:
    """A bot that never starts."""


@bot(services={"llm": ["clinging", "first"]}, client=["llm.provider"], public=True)
async def clinging_bot(session: Session, /, llm: LLM) -> None:
    """A bot that does nothing."""
