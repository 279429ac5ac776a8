"""A bot that fails in every possible way. Each effect is a line in a file, so a test sees what was done twice."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal, cast

import anyio
import anyio.lowlevel
from attrs import define, field

from rtvi_plugins import LLM, RequestError, Session, action, bot, options, service
from rtvi_plugins.helper_process import HelperLost, HelperProcess
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text

__all__ = ("faulty",)

_JOURNAL = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
#: The deadline of actions that hang, in seconds.
_SHORT = 0.3


def effect(name: str) -> None:
    """Have an effect outside: a line in a file, which stays when the process is killed."""
    os.write(_JOURNAL, f"{name}\n".encode())


class Rude(BaseException):
    """An exception that is not an `Exception`."""


# ---- services ------------------------------------------------------------------------------------------------------


@define
class FaultyLLM:
    """Says one word. `dies` ends the service while it is open. A helper process repeats what it is sent."""

    dies: anyio.Event = field(factory=anyio.Event)
    helper: HelperProcess | None = None
    lock: anyio.Lock = field(factory=anyio.Lock)

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Say one word."""
        await anyio.lowlevel.checkpoint()
        yield Text("word")

    async def live(self) -> None:
        """Wait, and die."""
        await self.dies.wait()
        raise ConnectionError("the service has died")

    async def repeat(self, text: str) -> str:
        """Let the helper process repeat a text. A process that has died is replaced for the next request."""
        async with self.lock:
            if self.helper is None or not self.helper.usable:
                await self.close()
                self.helper = await HelperProcess.start(["cat"])
            id = self.helper.new_request()
            await self.helper.send(1, id, text.encode())
            return (await self.helper.receive(id)).payload.decode()

    async def close(self) -> None:
        """End the helper process."""
        if self.helper is not None:
            await self.helper.aclose()


@asynccontextmanager
async def opened() -> AsyncGenerator[FaultyLLM]:
    """A service with a task of its own, which may raise."""
    llm = FaultyLLM()
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(llm.live)
            yield llm
            tasks.cancel_scope.cancel()
    finally:
        await llm.close()


@service("llm", "first")
@asynccontextmanager
async def first_llm() -> AsyncGenerator[FaultyLLM]:
    """The provider with which a session starts."""
    async with opened() as llm:
        yield llm


@service("llm", "second")
@asynccontextmanager
async def second_llm() -> AsyncGenerator[FaultyLLM]:
    """The provider to which a session can switch."""
    async with opened() as llm:
        yield llm


@service("llm", "broken")
@asynccontextmanager
async def broken_llm() -> AsyncGenerator[FaultyLLM]:
    """A provider that does not open."""
    async with opened() as llm:
        llm.dies.set()
        await anyio.sleep_forever()
        yield llm


@options(first_llm, second_llm)
def pace(llm: FaultyLLM, /, pace: Literal["slow", "fast", "raises", "exits"] = "slow") -> None:
    """Set the pace. Two values cannot be set."""
    if pace == "raises":
        raise RuntimeError("no such pace")
    if pace == "exits":
        raise SystemExit("no such pace")


@action(first_llm, second_llm)
async def die(llm: FaultyLLM, /, name: str) -> bool:
    """Have an effect, and end the service without the session."""
    effect(name)
    llm.dies.set()
    return True


@action(first_llm, second_llm)
async def ask_helper(llm: FaultyLLM, /, name: str) -> str:
    """Have an effect, and use the helper process."""
    effect(name)
    return await llm.repeat(name)


@action(first_llm, second_llm)
async def kill_helper(llm: FaultyLLM, /, name: str) -> str:
    """Have an effect, and kill the helper process while it is used."""
    effect(name)
    if llm.helper is not None:
        with suppress(ProcessLookupError):
            os.kill(llm.helper.pid, 9)
    return await llm.repeat(name)


# ---- the bot -------------------------------------------------------------------------------------------------------


@bot(
    services={"llm": ["first", "second", "broken"]},
    client="""bot:work bot:hang bot:cling bot:think bot:hold bot:job bot:finish bot:look
    llm:die llm:ask_helper llm:kill_helper llm.pace llm.provider""".split(),
    public=True,
)
async def faulty(session: Session, /, llm: LLM) -> None:
    """A bot that does nothing by itself."""
    async for _ in session.inputs():
        raise RuntimeError("the bot fails")


async def _cancel() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await anyio.lowlevel.checkpoint()


def _circle() -> list[Any]:
    circle: list[Any] = []
    circle.append(circle)
    return circle


def _deep() -> dict[str, Any]:
    deep: dict[str, Any] = {}
    for _ in range(2_000):
        deep = {"deeper": deep}
    return deep


#: What `work` raises, and what it returns that JSON cannot carry or that it does not declare.
_RAISED: dict[str, Callable[[], BaseException]] = {
    "error": lambda: RuntimeError("words"),
    "group": lambda: ExceptionGroup("words", [ValueError("words"), KeyError("words")]),
    "exit": lambda: SystemExit("words"),
    "rude": lambda: Rude("words"),
    "refusal": lambda: RequestError("Not today."),
    "helper": lambda: HelperLost("words"),
    "cancelled": asyncio.CancelledError,
}
_RETURNED: dict[str, Callable[[], object]] = {
    "set": lambda: {"a": {1, 2}},
    "infinity": lambda: {"a": float("inf")},
    "circle": _circle,
    "deep": _deep,
    "huge": lambda: {"a": 2**70},
    "half": lambda: {"a": "\ud800"},
    "other": lambda: 7,
}


@action(faulty)
async def work(session: Session, /, name: str, how: str = "", seconds: float = 0.0) -> dict[str, Any]:
    """Have an effect, and then take some time, raise, be cancelled, or return what cannot be sent."""
    effect(name)
    if seconds:
        await anyio.sleep(seconds)
    if how in _RAISED:
        raise _RAISED[how]()
    if how == "cancel":
        await _cancel()
    return cast("dict[str, Any]", _RETURNED[how]()) if how in _RETURNED else {"done": name}


@action(faulty, deadline=_SHORT)
async def hang(session: Session, /, name: str) -> bool:
    """Have an effect, and never end."""
    effect(name)
    await anyio.sleep_forever()
    return True


@action(faulty, deadline=_SHORT)
async def cling(session: Session, /, name: str) -> bool:
    """Have an effect, hang, and end late after a cancellation."""
    effect(name)
    try:
        await anyio.sleep_forever()
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(_SHORT)
    return True


@action(faulty)
def think(name: str, seconds: float, fails: bool = False) -> str:
    """Have an effect in a thread, hold it, and perhaps raise."""
    effect(name)
    time.sleep(seconds)
    if fails:
        raise StopIteration("words")
    return name


@action(faulty, deadline=_SHORT)
def hold(name: str) -> str:
    """Have an effect in a thread, and hold it beyond the deadline."""
    effect(name)
    time.sleep(2 * _SHORT)
    return name


@action(faulty, long=True)
async def job(session: Session, /, name: str, how: str = "", seconds: float = 0.0) -> dict[str, Any]:
    """Have an effect in the background."""
    return await work(session, name, how, seconds)


@action(faulty)
async def finish(session: Session, /, name: str) -> bool:
    """Have an effect, and end the session from inside."""
    effect(name)
    session.close("enough", now=True)
    await anyio.sleep_forever()
    return True


@action(faulty, repeatable=True)
async def look(session: Session, /) -> bool:
    """Have no effect."""
    return True
