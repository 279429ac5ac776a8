"""The end of a session: at once, or when the user has heard what the bot is saying; with an error, or without."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from anyio.abc import TaskGroup

from ..clock import Clock, Timer
from ..errors import RateLimited, RequestError, SessionIdle, SessionTooLong, SlowClient
from .outbox import Outbox
from .turns import Turns

__all__ = ("RESTART", "Ending")

#: The close codes of WebSocket for the reasons of an end: 1000 is normal, 1008 policy, and any other is 1011, an error.
_CLOSE_CODES: Mapping[str, int] = {
    "": 1000,
    SessionIdle.code: 1008,
    SessionTooLong.code: 1008,
    SlowClient.code: 1008,
    RateLimited.code: 1008,
}

#: The close code of WebSocket for a session that goes on elsewhere.
RESTART: Final = 1012


class Ending:
    """Ends one session, once. `stop` stops everything that runs in it."""

    def __init__(
        self, clock: Clock, turns: Turns, outbox: Outbox, goodbye_seconds: float, stop: Callable[[], None]
    ) -> None:
        #: The code of the error that ended the session; empty without an error.
        self.code = ""
        self.close_code, self.close_reason = 1000, ""
        #: Whether the session goes on in another process.
        self.moved = False
        #: The tasks of the session, while it runs.
        self.tasks: TaskGroup | None = None
        self._clock = clock
        self._turns = turns
        self._outbox = outbox
        self._goodbye_seconds = goodbye_seconds
        self._stop = stop
        self._begun = False

    @property
    def closed(self) -> bool:
        """Return whether the session has ended."""
        return self._outbox.closed

    @property
    def closing(self) -> bool:
        """Return whether the session will end after the bot's current speech."""
        return self._turns.inputs.closing

    def close(self, reason: str, *, now: bool) -> None:
        """End the session without an error."""
        end = partial(self.end, "", reason)
        if now:
            end()
        else:
            self.when_heard(end)

    def when_heard(self, end: Callable[[], None]) -> None:
        """Call `end` when everything submitted so far was heard, or after `Limits.goodbye_seconds`."""
        if self.closed or self.closing:
            return
        if self.tasks is None or self._turns.is_idle:
            return end()
        self._turns.inputs.closing = True
        timer = self._clock.call_after(self._goodbye_seconds, end)
        self.tasks.start_soon(self._end_when_idle, end, timer)
        return None

    async def _end_when_idle(self, end: Callable[[], None], timer: Timer) -> None:
        await self._turns.idle()
        timer.cancel()
        end()

    def fail(self, error: RequestError) -> None:
        """End the session at once, with a fatal error to the client."""
        self._outbox.report(error, fatal=True)
        self.end(error.code, error.message)

    def move(self) -> None:
        """End the session in this process, and send the client nothing: the session goes on in another one."""
        if self.closed or self._begun:
            return
        self._begun = self.moved = True
        self.close_code, self.close_reason = RESTART, "The session goes on in another process; resume it."
        self._stop()
        self._outbox.drop()

    def end(self, code: str = "", reason: str = "") -> None:
        """End the session at once."""
        if self.closed or self._begun:
            return
        self._begun = True
        self.code = code
        self.close_code, self.close_reason = _CLOSE_CODES.get(code, 1011), reason
        self._stop()
