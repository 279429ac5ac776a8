"""Record the actions of each session."""

from __future__ import annotations

from collections import defaultdict

from rtvi_plugins import Session, action, hookimpl

recorded: defaultdict[str, list[str]] = defaultdict(list)


@hookimpl
def action_finished(session: Session, service: str, action: str, error: str | None) -> None:
    """Record an action and its outcome."""
    recorded[session.id].append(f"{service}:{action} {error or 'ok'}")


@hookimpl
def session_closed(session: Session) -> None:
    """Forget a session that has ended."""
    recorded.pop(session.id, None)


@action("bot", service="audit")
async def done_so_far(session: Session, /) -> list[str]:
    """Return the actions of this session, oldest first."""
    return recorded[session.id]
