"""The bots that this distribution's tests serve: a public one, the operator's, and bots with speech."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from threading import Event

import anyio

from rtvi_plugins import LLM, Session, action, bot, options, service
from rtvi_plugins.kinds import Audio, LLMPiece, LLMRequest
from rtvi_plugins.session import Listener, Say, Turn


@bot(client=["bot:add", "bot:hang_up", "bot:stall", "bot:stumble", "bot:dawdle"], public=True)
async def desk(session: Session, /) -> None:
    """Adds numbers for anyone."""
    await anyio.sleep_forever()


@action(desk)
async def add(session: Session, /, a: int, b: int) -> int:
    """Return the sum of two numbers."""
    return a + b


@action(desk, deadline=0.2)
def stall() -> bool:
    """Block the thread for far longer than the deadline."""
    return Event().wait(600)


@action(desk)
async def dawdle(session: Session, /) -> None:
    """Wait until it is cancelled."""
    await anyio.sleep_forever()


@action(desk)
async def stumble(session: Session, /) -> None:
    """Fails."""
    raise ValueError("a text of the author's")


@action(desk)
async def hang_up(session: Session, /) -> None:
    """End the session."""
    session.close("the desk has closed")


@bot(client=["bot:wreck", "bot:wreck_in_thread", "bot:wreck_in_background", "bot:carry_on"], public=True)
async def wreckers(session: Session, /) -> None:
    """Raises exceptions that end processes."""
    await anyio.sleep_forever()


WRECKS = {each.__name__: each for each in (KeyboardInterrupt, SystemExit, GeneratorExit)}


@action(wreckers)
async def wreck(session: Session, /, how: str) -> None:
    """Raise on the event loop."""
    raise WRECKS[how]


@action(wreckers)
def wreck_in_thread(how: str) -> None:
    """Raise in a thread."""
    raise WRECKS[how]


@action(wreckers)
async def wreck_in_background(session: Session, /, how: str) -> bool:
    """Raise in a separate task, as the background tasks of a service can."""

    async def background() -> None:
        raise WRECKS[how]

    task = asyncio.get_running_loop().create_task(background())
    await asyncio.wait([task])
    return isinstance(task.exception(), WRECKS[how])


@action(wreckers)
async def carry_on(session: Session, /) -> bool:
    """Answer."""
    return True


@bot()
async def office(session: Session, /) -> None:
    """Strangers may not use it."""
    await anyio.sleep_forever()


class Beak(Listener):
    """Plays the user's own audio."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    def hear(self, audio: Audio) -> None:
        self._turn.play(audio)

    def microphone(self, enabled: bool) -> None:
        raise AssertionError("a socket knows nothing of switches")


class Stubborn:
    """Says nothing."""

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Answer nothing."""
        for piece in list[LLMPiece]():
            yield piece


@service("llm", "stubborn")
@asynccontextmanager
async def stubborn_llm() -> AsyncGenerator[Stubborn]:
    """Does not close, even when it is cancelled."""
    try:
        yield Stubborn()
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.sleep_forever()


@bot(services={"llm": "stubborn"}, public=True)
async def stubborn(session: Session, /, llm: LLM) -> None:
    """Has a service that does not close."""
    await anyio.sleep_forever()


@bot(public=True)
async def deaf(session: Session, /) -> None:
    """Does not end when it is cancelled."""
    with anyio.CancelScope(shield=True):
        await anyio.sleep_forever()


@bot(public=True)
async def parrot(session: Session, /) -> None:
    """Says whether it can hear, and plays what it hears."""
    session.send({"audio": session.has_audio})
    async with session.turn() as turn:
        with session.listening(Beak(turn)):
            await anyio.sleep_forever()


@bot(client=["bot:leave"], public=True)
async def leaver(session: Session, /) -> None:
    """Plays two seconds of audio for each text that it says."""
    async for _ in session.inputs():
        async with session.turn(interruptible=False) as turn:
            turn.play(Audio(b"\1\0" * 48_000, 24_000))
            await turn.played()


@action(leaver)
async def leave(session: Session, /) -> None:
    """End the session with a goodbye."""
    session.submit(Say("Goodbye."))
    session.close("goodbye")


@bot(public=True, client=["bot.volume"])
async def tuned(session: Session, /) -> None:
    """Has an option of its own."""


@options(tuned)
def volume(session: Session, /, volume: float = 1.0) -> None:
    """Return the bot's volume."""
