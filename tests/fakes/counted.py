"""A spoken bot whose services count what is open of them: themselves, and the streams of answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
from attrs import define, field

from rtvi_plugins import LLM, STT, TTS, VAD, Session, action, bot, converse, service
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text

from .spoken import CodeVAD, ScriptSTT, SpellTTS

__all__ = ("now_open", "talker")

_STORY = "Once upon a time there was a bot. It talked for so long that everybody left. Then it was silent. "


@define
class Open:
    """What is open now: services and the streams of LLMs, by name."""

    services: Counter[str] = field(factory=Counter[str])
    opened: int = 0
    streams: int = 0


now_open = Open()


# ---- the bot -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def counted(name: str) -> AsyncGenerator[None]:
    """A service that takes its time to open and to close, and has a task of its own meanwhile."""
    await anyio.lowlevel.checkpoint()
    now_open.services[name] += 1
    now_open.opened += 1
    try:
        await anyio.lowlevel.checkpoint()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.sleep_forever)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.lowlevel.checkpoint()
        now_open.services[name] -= 1


@define
class Teller:
    """Tells a story, a word at a time."""

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """The story, which takes a while even to think of."""
        now_open.streams += 1
        try:
            for word in _STORY.split():
                await anyio.lowlevel.checkpoint()
                yield Text(f"{word} ")
        finally:
            now_open.streams -= 1


@service("llm", "teller")
@asynccontextmanager
async def teller() -> AsyncGenerator[Teller]:
    """The one that a session starts with."""
    async with counted("llm.teller"):
        yield Teller()


@service("llm", "second")
@asynccontextmanager
async def second_teller() -> AsyncGenerator[Teller]:
    """The one that it can switch to."""
    async with counted("llm.second"):
        yield Teller()


@service("stt", "counted")
@asynccontextmanager
async def counted_stt() -> AsyncGenerator[ScriptSTT]:
    """Reads numbers."""
    async with counted("stt"):
        yield ScriptSTT("counted")


@service("tts", "counted")
@asynccontextmanager
async def counted_tts() -> AsyncGenerator[SpellTTS]:
    """Spells."""
    async with counted("tts"):
        yield SpellTTS(words=True)


@service("vad", "counted")
@asynccontextmanager
async def counted_vad() -> AsyncGenerator[CodeVAD]:
    """Hears numbers."""
    async with counted("vad"):
        yield CodeVAD()


@bot(
    services={"llm": ["teller", "second"], "stt": "counted", "tts": "counted", "vad": "counted"},
    client=["llm.provider", "llm:run", "tts:say", "tts:interrupt", "bot:hang", "bot:hang_long", "bot:end"],
    public=True,
)
async def talker(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
    """Holds a spoken conversation."""
    await converse(session, llm=llm, stt=stt, tts=tts, vad=vad, greeting="Hello.")


@action(talker)
async def hang(session: Session, /) -> None:
    """Never ends by itself."""
    await anyio.sleep_forever()


@action(talker, long=True)
async def hang_long(session: Session, /) -> None:
    """Never ends by itself, and is not waited for."""
    await anyio.sleep_forever()


@action(talker)
async def end(session: Session, /) -> None:
    """Ends the session from inside."""
    session.close("enough")
    await anyio.sleep_forever()
