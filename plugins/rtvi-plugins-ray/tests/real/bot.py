"""A bot that says where it runs."""

from __future__ import annotations

import os

from attrs import define

from rtvi_plugins import Session, action, bot


@define
class Counter:
    """How often a session was counted."""

    count: int = 0


@bot(services={}, public=True, client=["bot:process", "bot:count"], state=Counter)
async def clerk(session: Session[Counter], /) -> None:
    """Says nothing."""


@action(clerk, repeatable=True)
async def process(session: Session[Counter], /) -> int:
    """Return the process in which the session is."""
    return os.getpid()


@action(clerk)
async def count(session: Session[Counter], /) -> int:
    """Count one further."""
    session.state.count += 1
    return session.state.count
