"""The deadlines of one session: of its requests, its length, its idle time, and of a client that may come back."""

from __future__ import annotations

import math
from functools import partial

from attrs import define, field

from ..clock import Clock, Deadline
from ..errors import ActionTimeout, SessionIdle, SessionTooLong
from ..limits import Limits
from ..protocol.requests import Request
from .bot_session import SessionParts

__all__ = ("SessionTime",)


@define(eq=False)
class SessionTime:
    """Watches the deadlines of one session."""

    clock: Clock
    limits: Limits
    parts: SessionParts
    #: When the client sent something last, and when the session reaches its greatest length.
    last_received: float = field(init=False)
    ends: float = field(init=False)
    #: When the session ends because its client has not come back.
    away_until: float = math.inf
    _deadline: Deadline = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.last_received = self.ends = self.clock.now()
        self._deadline = Deadline(self.clock, self._reached)

    def start(self) -> None:
        """Start the session's time: its first client has connected."""
        self.last_received = self.clock.now()
        self.ends = self.last_received + self.limits.session_seconds
        self.watch()

    def watch(self) -> None:
        """Watch the deadlines of the session itself, which have changed."""
        self._no_later_than(self._session_due())

    def watch_requests(self) -> None:
        """Watch the deadline of the request that was received last."""
        if self.parts.protocol.requests.pending:
            self._no_later_than(next(reversed(self.parts.protocol.requests.pending.values())).due)

    def watch_all_requests(self) -> None:
        """Watch the deadlines of all requests."""
        self._no_later_than(min((each.due for each in self.parts.protocol.requests.pending.values()), default=math.inf))

    def cancel(self) -> None:
        """Watch nothing more: the session has ended."""
        self._deadline.cancel()

    def _no_later_than(self, due: float) -> None:
        if not self.parts.ending.closed:
            self._deadline.no_later_than(due)

    def _session_due(self) -> float:
        return math.inf if self.parts.ending.closing else min(self.ends, self._idle_due(), self.away_until)

    def _idle_due(self) -> float:
        """Return when the session has been idle for too long, as seen now. A timer of the bot counts like a message."""
        now = self.clock.now()
        timers = [each.due for each in self.parts.timers if each.callback is not None or each.due <= now]
        return max(self.last_received, *timers, 0.0) + self.limits.idle_seconds

    def _reached(self) -> None:
        """Look which deadlines have passed, and wait for the next one."""
        now, limits, ending = self.clock.now(), self.limits, self.parts.ending
        if now >= self.ends:
            length = f"The session has reached its greatest length, {limits.session_seconds:g} s."
            ending.when_heard(partial(ending.fail, SessionTooLong(length)))
        elif now >= self._idle_due():
            silence = f"The client sent nothing for {limits.idle_seconds:g} s."
            ending.when_heard(partial(ending.fail, SessionIdle(silence)))
        elif now >= self.away_until:
            ending.end("", "the client has not come back")
            self.parts.outbox.drop()
        if ending.closed:
            return
        pending = self.parts.protocol.requests.pending
        for request in [each for each in pending.values() if each.due <= now]:
            self._expire(request)
        self._no_later_than(min((*(each.due for each in pending.values()), self._session_due())))

    def _expire(self, request: Request) -> None:
        """Answer a request that took too long, without waiting for its function to unwind."""
        begun, waits = "It may or may not have taken effect.", "The client has not sent client-ready."
        hint = begun if self.parts.protocol.ready else waits
        self.parts.outbox.fail(request, ActionTimeout(f"The request was not finished in time. {hint}"))
        if request.work is not None:
            request.work.cancel()
