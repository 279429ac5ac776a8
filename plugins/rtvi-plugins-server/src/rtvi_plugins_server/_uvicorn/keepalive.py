"""Notice that a WebSocket's client is gone although its connection is open."""

from __future__ import annotations

from typing import Literal

__all__ = ("Keepalive",)

#: A silent client is sent a ping after the first time, and disconnected after the second.
_PING_SECONDS, _LOST_SECONDS = 20.0, 40.0


class Keepalive:
    """The times to send a ping and to disconnect."""

    def __init__(self, now: float) -> None:
        #: Set when anything arrives from the client.
        self.active = True
        self._pinged = False
        self._silent_since = now

    def check(self, now: float, *, reading: bool, writable: bool) -> Literal["ping", "lost"] | None:
        """Return what to do now. Call it about once a second.

        While the server is not `reading`, it would not see a pong, so the client is not given up.
        """
        silent = now - self._silent_since
        if self.active:
            self.active = self._pinged = False
            self._silent_since = now
        elif silent >= _LOST_SECONDS and reading:
            return "lost"
        elif silent >= _PING_SECONDS and writable and not (self._pinged and reading):
            self._pinged = True
            if not reading:
                self._silent_since = now
            return "ping"
        return None
