"""The hooks of the plugin `opentelemetry`. The spans go to the tracer provider that the process has set."""

from __future__ import annotations

import time
from typing import Final

from opentelemetry.trace import get_tracer

from rtvi_plugins.events import Event
from rtvi_plugins.hookspecs import hookimpl
from rtvi_plugins.session import Session

from .spans import NANOSECONDS, SessionSpans, end_span

__all__ = (
    "action_finished",
    "action_started",
    "error_reported",
    "event_emitted",
    "provider_changed",
    "session_closed",
    "session_opened",
    "start_finished",
)

_tracer: Final = get_tracer("rtvi_plugins")
#: Not by id: a session that is resumed elsewhere in this process has the same id, and its first part still ends.
_spans: Final[dict[Session, SessionSpans]] = {}


@hookimpl
def start_finished(seconds: float, error: str | None) -> None:
    """Make the span of a start, which has no session yet."""
    end = time.time_ns()
    end_span(_tracer.start_span("start", start_time=end - int(seconds * NANOSECONDS)), error, end)


@hookimpl
def session_opened(session: Session) -> None:
    """Begin the span of a session."""
    _spans[session] = SessionSpans(session, _tracer)


@hookimpl
def session_closed(session: Session, reason: str) -> None:
    """End all spans of a session."""
    if (spans := _spans.pop(session, None)) is not None:
        spans.closed(reason)


@hookimpl
def action_started(session: Session, service: str, action: str, call: int) -> None:
    """Begin the span of an action."""
    if (spans := _spans.get(session)) is not None:
        spans.action_started(service, action, call)


@hookimpl
def action_finished(session: Session, error: str | None, call: int) -> None:
    """End the span of an action."""
    if (spans := _spans.get(session)) is not None:
        spans.action_finished(error, call)


@hookimpl
def event_emitted(session: Session, event: Event) -> None:
    """Begin and end the spans of turns, service calls and functions."""
    if (spans := _spans.get(session)) is not None:
        spans.happened(event)


@hookimpl
def provider_changed(session: Session, service: str, provider: str, chosen: str) -> None:
    """Note whether another provider serves than the chosen one."""
    if (spans := _spans.get(session)) is not None:
        spans.replaced(service, None if provider == chosen else provider)


@hookimpl
def error_reported(session: Session, code: str, provider: str | None, category: str | None) -> None:
    """Note the error on the span of the turn or the session."""
    if (spans := _spans.get(session)) is not None:
        spans.failed(code, provider, category)
