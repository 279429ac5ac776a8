"""Remembers who did what: actions for any bot, and hooks that watch."""

from __future__ import annotations

from collections import defaultdict

from rtvi_plugins import Session, action, hookimpl

noted: defaultdict[str, list[str]] = defaultdict(list)


@hookimpl
def action_finished(session: Session, service: str, action: str, error: str | None) -> None:
    """Note an action and how it ended."""
    noted[session.id].append(f"{service}:{action} {error or 'ok'}")


@hookimpl
def session_closed(session: Session) -> None:
    """Forget a session that has ended."""
    noted.pop(session.id, None)


@action("bot")
async def done_so_far(session: Session, /) -> list[str]:
    """What was done in this session, oldest first."""
    return noted[session.id]
