"""A spoken bot that counts its open services. A client can leave it in the middle of an action."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel

from rtvi_plugins import LLM, STT, TTS, VAD, Session, action, bot, converse
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text

from .providers import SERVICES, Fakes, Respond

__all__ = ("Counted", "talker")

STORY = "Once upon a time there was a bot. It talked for so long that everybody left. Then it was silent. "


class Counted(Fakes):
    """Providers that open and close slowly. Their LLMs tell a story, word by word."""

    def __init__(self) -> None:
        super().__init__()
        #: The services that are open, by name, and how many were opened.
        self.open = Counter[str]()
        self.opened = 0

    def respond_as(self, name: str) -> Respond:
        """Tell the story, after some time."""

        async def respond(request: LLMRequest) -> AsyncGenerator[LLMPiece]:
            self.begun["llm"] += 1
            try:
                for word in STORY.split():
                    await anyio.lowlevel.checkpoint()
                    yield Text(f"{word} ")
            finally:
                self.ended["llm"] += 1

        return respond

    @asynccontextmanager
    async def opening(self, name: str) -> AsyncGenerator[None]:
        """Count the service, and run a task of its own meanwhile."""
        await anyio.lowlevel.checkpoint()
        self.open[name] += 1
        self.opened += 1
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
            self.open[name] -= 1


@bot(
    services=SERVICES,
    client=["llm.provider", "llm:run", "tts:say", "tts:interrupt", "bot:hang", "bot:hang_long", "bot:end"],
    public=True,
)
async def talker(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
    """A bot that holds a spoken conversation."""
    await converse(session, llm=llm, stt=stt, tts=tts, vad=vad, greeting="Hello.")


@action(talker)
async def hang(session: Session, /) -> None:
    """Never end."""
    await anyio.sleep_forever()


@action(talker, long=True)
async def hang_long(session: Session, /) -> None:
    """Never end, as a background job."""
    await anyio.sleep_forever()


@action(talker)
async def end(session: Session, /) -> None:
    """End the session from inside."""
    session.close("enough")
    await anyio.sleep_forever()
