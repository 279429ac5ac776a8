"""The end of a session: at once, or when the user has heard what the bot is saying; with an error, or without.

One timer watches all deadlines: of the requests, of the session's length and idle time, and of a client that may come
back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from ..clock import Deadline, Timer
from ..errors import ActionTimeout, RateLimited, RequestError, SessionIdle, SessionTooLong, SlowClient
from ..protocol.requests import Request
from .session_core import SessionCore

__all__ = ("RESTART", "SessionEnd")

#: Why a session has ended without its client: it never came, or it did not come back. No client is sent these.
_UNCLAIMED: Final = "unclaimed"
_NOT_RESUMED: Final = "not-resumed"

#: The close codes of WebSocket for the reasons of an end: 1000 is normal, 1008 policy, and any other is 1011, an error.
_CLOSE_CODES: Mapping[str, int] = {
    "": 1000,
    _UNCLAIMED: 1000,
    _NOT_RESUMED: 1000,
    SessionIdle.code: 1008,
    SessionTooLong.code: 1008,
    SlowClient.code: 1008,
    RateLimited.code: 1008,
}

#: The close code of WebSocket for a session that continues elsewhere, and for the end of the process.
RESTART: Final = 1012


class SessionEnd:
    """Ends one session, once. `stop` stops everything that runs in it."""

    def __init__(self, core: SessionCore, stop: Callable[[], None]) -> None:
        #: The code of the error that ended the session, `unclaimed` or `not-resumed`; empty without an error.
        self.code = ""
        self.close_code, self.close_reason = 1000, ""
        #: Whether the session continues in another process.
        self.moved = False
        self._core = core
        self._clock, self._limits = core.shared.clock, core.shared.limits
        self._outbox, self._inputs = core.outbox, core.turns.inputs
        self._stop_session = stop
        self._has_begun_to_end = False
        #: When the client sent something last, and when the session reaches its maximum length.
        self.last_received = self.too_long_at = self._clock.now()
        #: When the session ends because its first client has not sent `client-ready`.
        self.ready_by = math.inf
        #: When the session ends because its client has not come back.
        self.away_until = math.inf
        self._deadline = Deadline(self._clock, self._deadline_reached)

    @property
    def closed(self) -> bool:
        return self._outbox.closed

    @property
    def closing(self) -> bool:
        """Return whether the session will end after the bot's current speech."""
        return self._inputs.closing

    def close(self, reason: str, *, now: bool) -> None:
        if now:
            self.end("", reason)
        else:
            self._end_when_heard(partial(self.end, "", reason))

    def _end_when_heard(self, end: Callable[[], None]) -> None:
        """Call `end` when everything submitted before was heard, or after `Limits.goodbye_seconds`."""
        if self.closed or self.closing:
            return
        if self._core.tasks is None or self._core.turns.is_idle:
            end()
            return
        self._inputs.closing = True
        timer = self._clock.call_after(self._limits.goodbye_seconds, end)
        self._core.tasks.start_soon(self._end_when_idle, end, timer)

    async def _end_when_idle(self, end: Callable[[], None], timer: Timer) -> None:
        await self._core.turns.idle()
        timer.cancel()
        end()

    def fail(self, error: RequestError) -> None:
        """End the session at once, with a fatal error to the client."""
        self._outbox.report(error, fatal=True)
        self.end(error.code, error.message)

    def leave(self, reason: str, code: str = "") -> None:
        """End the session at once, and send nothing more: the client has left."""
        self.end(code, reason)
        self._outbox.drop()

    def abandon(self) -> None:
        """End the session, which no client has claimed."""
        self.leave("nobody came", _UNCLAIMED)

    def end(self, code: str = "", reason: str = "") -> None:
        if not self._has_begun_to_end:
            self.code = code
            self._end(_CLOSE_CODES.get(code, 1011), reason)

    def shut_down(self) -> None:
        """End the session because its process ends."""
        if not self._has_begun_to_end:
            self._end(RESTART, "The server is shutting down.")

    def move(self) -> None:
        """End the session in this process, and send the client nothing: the session continues in another one."""
        if not self._has_begun_to_end:
            self.moved = True
            self._end(RESTART, "The session continues in another process; resume it.")
            self._outbox.drop()

    def _end(self, close_code: int, reason: str) -> None:
        self._has_begun_to_end = True
        self.close_code, self.close_reason = close_code, reason
        self._stop_session()
        self._deadline.cancel()

    # ---- deadlines -------------------------------------------------------------------------------------------------

    def start_time(self) -> None:
        """Start the session's time: its first client has connected."""
        self.last_received = self._clock.now()
        self.too_long_at = self.last_received + self._limits.session_seconds
        self.ready_by = self.last_received + self._limits.ready_seconds
        self.watch_session()

    def watch_session(self) -> None:
        """Watch the deadlines of the session itself, which have changed."""
        self._end_no_later_than(self._session_due())

    def watch_request(self, request: Request) -> None:
        self._end_no_later_than(request.due)

    def watch_requests(self) -> None:
        pending = self._core.protocol.requests.pending.values()
        self._end_no_later_than(min((each.due for each in pending), default=math.inf))

    def _end_no_later_than(self, due: float) -> None:
        if not self.closed:
            self._deadline.no_later_than(due)

    def _session_due(self) -> float:
        return math.inf if self.closing else min(self.too_long_at, self._idle_due(), self.ready_by, self.away_until)

    def _idle_due(self) -> float:
        """Return when the session has been idle for too long, as seen now. A timer of the bot counts like a message."""
        now = self._clock.now()
        timers = [each.due for each in self._core.timers if each.callback is not None or each.due <= now]
        return max([self.last_received, *timers]) + self._limits.idle_seconds

    def _deadline_reached(self) -> None:
        """Check which deadlines have passed, and wait for the next one."""
        now, limits = self._clock.now(), self._limits
        if now >= self.too_long_at:
            length = f"The session has reached its maximum length, {limits.session_seconds:g} s."
            self._end_when_heard(partial(self.fail, SessionTooLong(length)))
        elif now >= self._idle_due():
            silence = f"The client sent nothing for {limits.idle_seconds:g} s."
            self._end_when_heard(partial(self.fail, SessionIdle(silence)))
        elif now >= self.ready_by:
            self.fail(SessionIdle(f"The client has not sent client-ready within {limits.ready_seconds:g} s."))
        elif now >= self.away_until:
            self.leave("the client has not come back", _NOT_RESUMED)
        if self.closed:
            return
        pending = self._core.protocol.requests.pending
        for request in [each for each in pending.values() if each.due <= now]:
            self._expire_request(request)
        self.watch_requests()
        self.watch_session()

    def _expire_request(self, request: Request) -> None:
        """Answer a request that took too long, without waiting for its function to unwind."""
        begun, waits = "It may or may not have taken effect.", "The client has not sent client-ready."
        ready = self._core.protocol.ready
        text = f"The request was not finished in time. {begun if ready else waits}"
        self._outbox.fail(request, ActionTimeout(text, retryable=request.repeatable or not ready))
        if request.work is not None:
            request.work.cancel()
