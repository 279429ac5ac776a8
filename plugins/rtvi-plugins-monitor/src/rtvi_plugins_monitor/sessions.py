"""What the operator sees of each live session. It contains no word of the conversation, and no key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define, field

from rtvi_plugins.events import BotTurnEnded, Event, Metrics
from rtvi_plugins.session import Session

__all__ = ("LiveSessions",)


@define(eq=False)
class _Seen:
    """A session, and what was counted in it. Times are in seconds, on the session's clock."""

    session: Session
    opened: float
    turns: int = 0
    interrupted: int = 0
    #: The latest of each measurement, by its name.
    latest: dict[str, float] = field(factory=dict[str, float])
    #: How often each error was reported, by its code.
    errors: dict[str, int] = field(factory=dict[str, int])
    #: When each action began that still runs, by the number of its call.
    running: dict[int, float] = field(factory=dict[int, float])

    def count(self, event: Event) -> None:
        """Count an event of the conversation."""
        match event:
            case BotTurnEnded():
                self.turns += 1
                self.interrupted += event.interrupted
            case Metrics(processor=name, ttfb=ttfb, voice_to_voice=delay):
                self.latest |= {key: value for key, value in ((name, ttfb), (name, delay)) if value is not None}
            case _:
                pass

    def to_json(self) -> Mapping[str, Any]:
        """Return the session as an object for `GET /sessions`."""
        library = self.session.client.about.get("library")
        return {
            "id": self.session.id,
            "seconds": round(self.session.clock.now() - self.opened, 1),
            "client": library[:50] if isinstance(library, str) else None,
            "providers": dict(self.session.providers),
            "turns": self.turns,
            "interrupted": self.interrupted,
            "running_actions": len(self.running),
            "latest_seconds": {name: round(value, 3) for name, value in self.latest.items()},
            "errors": self.errors,
        }


class LiveSessions:
    """The live sessions of this process, the oldest first."""

    def __init__(self) -> None:
        # Not by id: a session that is resumed elsewhere in this process has the same id, and its first part still ends.
        self._seen: dict[Session, _Seen] = {}

    def opened(self, session: Session) -> None:
        """Note a new session."""
        self._seen[session] = _Seen(session, session.clock.now())

    def closed(self, session: Session) -> None:
        """Forget a session."""
        self._seen.pop(session, None)

    def happened(self, session: Session, event: Event) -> None:
        """Count an event."""
        if (seen := self._seen.get(session)) is not None:
            seen.count(event)

    def failed(self, session: Session, code: str) -> None:
        """Count an error."""
        if (seen := self._seen.get(session)) is not None:
            seen.errors[code] = seen.errors.get(code, 0) + 1

    def started(self, session: Session, call: int) -> None:
        """Note that an action runs."""
        if (seen := self._seen.get(session)) is not None:
            seen.running[call] = session.clock.now()

    def finished(self, session: Session, call: int) -> float | None:
        """Note that an action has ended, and return how long it took. None for one that was not noted."""
        seen = self._seen.get(session)
        begun = seen.running.pop(call, None) if seen is not None else None
        return None if begun is None else session.clock.now() - begun

    def to_json(self) -> list[Mapping[str, Any]]:
        """Return all sessions as objects."""
        return [each.to_json() for each in self._seen.values()]
