"""The sessions that wait for their client: while their services open, and until a client claims them with its token."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from attrs import define

from ..clock import Clock, Timer
from ..errors import ServerFull, UnknownSession
from ..limits import Limits
from ..session import Secret
from .session_life import LiveSession

__all__ = ("UnclaimedSessions",)


@define(eq=False)
class _Unclaimed:
    session: LiveSession
    timer: Timer
    #: The address that has started the session. None for the operator.
    address: str | None
    #: Kept so that no log shows the token while it opens the session.
    hidden: Secret
    #: The key of the resume token; None for a new session.
    proof: str | None


class UnclaimedSessions:
    """A bounded number of sessions, in total and for each address. A session that nobody claims is closed."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._unclaimed_by_token: dict[str, _Unclaimed] = {}
        #: The token of each session that waits for a client that comes back, by the session's id. They count nowhere:
        #: there are no more than sessions.
        self._resumed: dict[str, str] = {}
        self._opening_count = 0
        self._unclaimed_by_address: Counter[str] = Counter()

    def check(self, address: str | None) -> None:
        """Raise `ServerFull` if no more sessions may wait, in total or for this address."""
        if len(self._unclaimed_by_token) - len(self._resumed) + self._opening_count >= self._limits.unclaimed:
            raise ServerFull("The server holds as many sessions as it can; try again later.")
        most = self._limits.unclaimed_per_address
        if address is not None and self._unclaimed_by_address[address] >= most:
            raise ServerFull(f"{most} sessions that this address has started wait for their client; try again later.")

    @contextmanager
    def opening(self, address: str | None) -> Generator[None]:
        """Count a session while its services open. If the block raises, the session is not counted any longer."""
        self._opening_count += 1
        if address is not None:
            self._unclaimed_by_address[address] += 1
        try:
            yield
        except BaseException:
            self._left(address)
            raise
        finally:
            self._opening_count -= 1

    def add(self, session: LiveSession, address: str | None, proof: str | None = None) -> str:
        """Let an open session wait for its client. Return its token.

        `proof` is the key of its resume token. A session that is resumed again waits under the newest token alone.
        """
        token = secrets.token_urlsafe(24)
        if proof is not None:
            if (before := self._resumed.get(session.id)) is not None:
                self._remove_unclaimed(before).timer.cancel()
            self._resumed[session.id] = token
        timer = self._clock.call_after(self._limits.unclaimed_seconds, lambda: self._expire(token))
        self._unclaimed_by_token[token] = _Unclaimed(session, timer, address, Secret(token), proof)
        return token

    def claim(self, token: str | None) -> tuple[LiveSession, str | None]:
        """Return the session that waits under a token, once, and the key of the resume token that was used.

        Raise `UnknownSession` for any other token.
        """
        found = self._remove_unclaimed(token) if token is not None and token in self._unclaimed_by_token else None
        if found is None or found.session.closed:
            raise UnknownSession("The session token is missing, unknown, used already or expired; start again.")
        found.timer.cancel()
        return found.session, found.proof

    def _expire(self, token: str) -> None:
        found = self._remove_unclaimed(token)
        if found.proof is None:  # a resumed session has a deadline of its own
            found.session.abandon()

    def _remove_unclaimed(self, token: str) -> _Unclaimed:
        found = self._unclaimed_by_token.pop(token)
        self._left(found.address)
        if self._resumed.get(found.session.id) == token:
            del self._resumed[found.session.id]
        return found

    def _left(self, address: str | None) -> None:
        if address is not None:
            self._unclaimed_by_address[address] -= 1
            if not self._unclaimed_by_address[address]:
                del self._unclaimed_by_address[address]
