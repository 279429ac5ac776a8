"""Conversations on the wire, as data: what clients of each generation send, and what must come back.

Each file of `transcripts/` is one session. `version` is what the client says of itself in `client-ready`, null where
it says nothing, as clients of 0.x do. A step sends a message (`send`), or a text that is none (`text`), or moves the
clock (`seconds`), and lists everything that must come back before the next (`receive`). `"<text>"` stands for any
text that is not empty: sentences may be improved without breaking a client, the rest may not.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import anyio
import anyio.lowlevel
import pytest
from attrs import frozen
from attrs.validators import ge, le

from rtvi_plugins import LLM, Doc, Grant, Session, Was, action, bot, options, service
from rtvi_plugins.events import BotLLMStarted, BotLLMStopped, BotLLMText, BotOutput, UserLLMText
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text
from rtvi_plugins.session import UserText

from ..fakes.wire import Wire, connected, settle

pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).parents[1] / "transcripts"
TRANSCRIPTS: dict[str, Any] = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))}


@frozen
class Booking:
    """A room that was booked."""

    name: str
    nights: int


@frozen
class OneWordLLM:
    """An LLM whose every answer is one word."""

    word: str

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Answer with the word."""
        await anyio.lowlevel.checkpoint()
        yield Text(self.word)


@service("llm", "steady")
@asynccontextmanager
async def steady_llm() -> AsyncGenerator[OneWordLLM]:
    """The first provider."""
    yield OneWordLLM("steady")


@service("llm", "other")
@asynccontextmanager
async def other_llm() -> AsyncGenerator[OneWordLLM]:
    """The second provider."""
    yield OneWordLLM("other")


@options(steady_llm, other_llm)
def configure(
    llm: OneWordLLM,
    /,
    model: Annotated[Literal["small", "large"] | str, Was("engine"), Doc("Which model answers.")] = "small",
    temperature: Annotated[float, ge(0), le(2)] = 0.7,
) -> None:
    """Which model answers, and how freely."""
    if model == "breaks":
        raise RuntimeError("no such model")


@bot(
    services={"llm": ["steady", "other"]},
    client=[
        *"llm.model llm.temperature llm.provider bot:book_room bot:fail bot:hang bot:look bot:count".split(),
        *"llm:append_to_messages llm:get_context".split(),
        Grant("llm.run_on_config", writable=False),
    ],
    public=True,
)
async def desk(session: Session, /, llm: LLM) -> None:
    """Says back what is written. The text "long" makes it speak without end."""
    async for each in session.inputs():
        async with session.turn():
            if isinstance(each, UserText):
                await say(session, each.text)


async def say(session: Session, text: str) -> None:
    """The events of one answer."""
    session.emit(UserLLMText(text))
    session.emit(BotLLMStarted())
    session.emit(BotLLMText(text))
    session.emit(BotLLMStopped())
    session.emit(BotOutput(text, 1))
    if text == "long":
        await anyio.sleep_forever()


@action(desk)
async def book_room(session: Session, /, nights: Annotated[int, ge(1)], name: str = "Ada") -> Booking:
    """Books a room and returns the booking."""
    return Booking(name, nights)


@action(desk)
async def fail(session: Session, /) -> bool:
    """Raises."""
    raise RuntimeError("the text of an exception")


@action(desk)
async def hang(session: Session, /) -> None:
    """Never ends."""
    await anyio.sleep_forever()


@action(desk)
async def look(session: Session, /, at: str) -> dict[str, Any]:
    """Has the client look."""
    return {"seen": await session.call_function("look", {"at": at})}


@action(desk, long=True)
async def count(session: Session, /, to: int = 2) -> int:
    """Counts."""
    for each in range(to):
        session.progress({"counted": each + 1})
    return to


def agrees(expected: Any, got: Any) -> bool:
    """Return whether a message agrees with what is written, where `"<text>"` means any text."""
    if expected == "<text>":
        return isinstance(got, str) and got != ""
    if type(expected) is not type(got):
        return False
    if isinstance(expected, dict):
        wanted, found = cast("dict[str, Any]", expected), cast("dict[str, Any]", got)
        return wanted.keys() == found.keys() and all(agrees(wanted[key], found[key]) for key in wanted)
    if isinstance(expected, list):
        items, others = cast("list[Any]", expected), cast("list[Any]", got)
        return len(items) == len(others) and all(map(agrees, items, others))
    return bool(expected == got)


async def take(wire: Wire, step: dict[str, Any]) -> list[Any]:
    """Take a step, and return the messages that come back."""
    before = len(wire.received)
    if "send" in step:
        wire.connection.receive(json.dumps(step["send"]))
    elif "text" in step:
        wire.connection.receive(step["text"])
    else:
        wire.clock.advance(step["seconds"])
    await settle()
    return wire.received[before:]


@pytest.mark.parametrize("name", TRANSCRIPTS)
async def test_a_session_goes_as_it_is_written(name: str) -> None:
    """Every message is compared in order. None may be missing, and none may be added."""
    written = TRANSCRIPTS[name]
    async with connected(desk, ready=False) as wire:
        for number, step in enumerate(written["steps"]):
            got = await take(wire, step)
            assert agrees(step["receive"], got), f"step {number}: {json.dumps(got, indent=1)}"
        assert wire.connection.closed == written.get("closed", False)


@pytest.mark.parametrize("generation", ["0.1", "0.4", "1.0", "2.1"])
def test_there_are_transcripts_of_each_generation(generation: str) -> None:
    """If a folder became empty, every test here would pass."""
    assert [name for name in TRANSCRIPTS if name.startswith(generation)]


@pytest.mark.parametrize(
    ("expected", "got", "same"),
    [
        ("<text>", "any", True),
        ("<text>", "", False),
        ("<text>", 5, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([1], [1, 2], False),
        (1, True, False),
        ({"a": ["<text>"]}, {"a": ["b"]}, True),
    ],
)
def test_a_transcript_is_compared_strictly(expected: Any, got: Any, same: bool) -> None:
    """A comparison that always agrees would prove nothing."""
    assert agrees(expected, got) is same
