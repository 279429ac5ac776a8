"""The bots that this distribution's tests serve: one that anybody may start, one that only its operator may."""

from __future__ import annotations

from threading import Event

import anyio

from rtvi_plugins import Session, action, bot


@bot(client=["bot:add", "bot:hang_up", "bot:stall"], public=True)
async def desk(session: Session, /) -> None:
    """Adds numbers for anybody."""
    await anyio.sleep_forever()


@action(desk)
async def add(session: Session, /, a: int, b: int) -> int:
    """The sum of two numbers."""
    return a + b


@action(desk, deadline=0.2)
def stall() -> bool:
    """Blocks its thread for far longer than its deadline."""
    return Event().wait(600)


@action(desk)
async def hang_up(session: Session, /) -> None:
    """Ends the session."""
    session.close("the desk has closed")


@bot()
async def office(session: Session, /) -> None:
    """Nothing for strangers."""
    await anyio.sleep_forever()
