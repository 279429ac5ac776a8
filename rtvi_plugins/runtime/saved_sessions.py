"""Saved sessions, and the resume tokens with which their clients come back.

A token is the session's id and a random secret. The record of the session has a hash of the secret as a key, so that
the store can check it, and nobody who reads the store can use it. Each `bot-ready` brings a new token. The one before
it is valid for a while, because the client may not have received the new one; all others are revoked.

A claim ends the session in the process that has it. So a process first reads the record, opens the services and
restores the session; it claims the record last. If something fails before, nothing has changed: the owner continues,
and the client may try again, here or elsewhere, with the same token.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from math import inf
from typing import Final, TypeVar

import anyio
from attrs import Factory, define, field

from ..clock import Clock, Timer
from ..errors import AuthorError, RequestError, StartFailed, StoreUnavailable, UnknownSession, report
from ..protocol.codec import decode_json
from ..resuming import OWNER, SessionStore, Unreadable
from ..security import LogThrottle
from ..session import Secret

__all__ = ("ResumeTokens", "SavedSession", "SavedSessions", "read_token", "reading")

log = logging.getLogger("rtvi_plugins")

#: How long a token is still valid after the next one was sent, in seconds.
_GRACE_SECONDS: Final = 30.0

#: The longest token that is read.
_LONGEST_TOKEN: Final = 256

#: What the id of a session is made of. Anything else is not looked for in the store.
_SESSION_ID: Final = re.compile(r"[A-Za-z0-9_-]+")

_TOKEN_KEY: Final = "token/"


def read_token(token: object) -> tuple[str, str] | None:
    """Return the id of the session, and the key of the record that proves the token; None if this is not a token."""
    if not isinstance(token, str) or len(token) > _LONGEST_TOKEN:
        return None
    session, _, secret = token.partition(".")
    return (session, _token_key(secret)) if _SESSION_ID.fullmatch(session) and secret else None


def _token_key(secret: str) -> str:
    return _TOKEN_KEY + hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class ResumeTokens:
    """The valid tokens of one session. `note` writes a key of its record, or with None removes it."""

    def __init__(self, session: str, clock: Clock, note: Callable[[str, str | None], None]) -> None:
        self._session = session
        self._clock = clock
        self._note_token = note
        #: The valid keys, oldest first: each with the position of the `bot-ready` that brought the token. None: another
        #: process has sent it.
        self._positions: dict[str, int | None] = {}
        #: The key of the token with which the present connection was made.
        self._used_key: str | None = None
        #: Kept so that no log shows the tokens.
        self._hidden_secrets: dict[str, Secret] = {}
        self._grace_timer: Timer | None = None

    def restore(self, key: str) -> None:
        """Accept the token of another process."""
        if key.startswith(_TOKEN_KEY):
            self._positions[key] = None

    def is_valid(self, key: str) -> bool:
        return key in self._positions

    def use(self, key: str) -> None:
        """Note that the present connection was made with this token."""
        self._used_key = key

    @property
    def position(self) -> int | None:
        """Return the position of the `bot-ready` that brought the used token; None if another process has sent it."""
        return None if self._used_key is None else self._positions.get(self._used_key)

    def issue(self) -> str:
        """Return a new token. Only the used one, or else the one before it, stays valid for a while."""
        kept = self._used_key if self._used_key in self._positions else next(reversed(self._positions), None)
        for key in [each for each in self._positions if each != kept]:
            self._revoke(key)
        secret = secrets.token_urlsafe(24)
        key, token = _token_key(secret), f"{self._session}.{secret}"
        self._positions[key], self._hidden_secrets[key] = 0, Secret(secret)  # not the id, which the log has
        self._note_token(key, "1")
        if self._grace_timer is not None:
            self._grace_timer.cancel()
        if kept is not None:
            self._grace_timer = self._clock.call_after(_GRACE_SECONDS, lambda: self._revoke(kept))
        return token

    def place(self, position: int) -> None:
        """Set the position of the `bot-ready` that brings the newest token."""
        self._positions[next(reversed(self._positions))] = position

    def _revoke(self, key: str) -> None:
        del self._positions[key]
        self._hidden_secrets.pop(key, None)
        self._note_token(key, None)

    def close(self) -> None:
        """Stop the timer: the session has ended."""
        if self._grace_timer is not None:
            self._grace_timer.cancel()


T = TypeVar("T")

#: How many sessions are read or claimed at once, and how long that may take, in seconds. After the end of a process,
#: all its clients come back at once.
_CLAIMS_AT_ONCE, _STORE_SECONDS = 16, 5.0


@define(eq=False)
class SavedSessions:
    """The saved sessions, as a process finds them that does not have them."""

    store: SessionStore
    #: The address of this process.
    address: str
    clock: Clock
    _limiter: anyio.CapacityLimiter = field(factory=lambda: anyio.CapacityLimiter(_CLAIMS_AT_ONCE))
    #: Anybody may send tokens, so the log does not get a line for each failure of the store.
    _store_failures: LogThrottle = field(
        default=Factory(lambda self: LogThrottle(log, self.clock.now), takes_self=True)
    )

    async def owner(self, id: str) -> str | None:
        """Return the address of the process that has a session. Raise `StoreUnavailable`."""
        return await self._ask_store(lambda: self.store.owner(id))

    async def read(self, id: str, proof: str) -> SavedSession:
        """Return a session, if its record has the key `proof`. Raise `UnknownSession` or `StoreUnavailable`."""
        state = await self._ask_store(lambda: self.store.read(id))
        with reading():
            if state is None or proof not in state or _is_session_over(state):
                raise _unknown_session()
        return SavedSession(id, proof, state, self)

    async def claim(self, session: SavedSession) -> int:
        """Become the owner, and return the new epoch. Raise `UnknownSession`, or `StoreUnavailable`.

        The latter is raised too if the owner before has written to the record after it was read.
        """
        saved = await self._ask_store(lambda: self.store.claim(session.id, self.address, session.proof))
        if saved is None:
            raise _unknown_session()
        if {**saved.state, OWNER: ""} != {**session.state, OWNER: ""}:
            session.changed = True
            raise StoreUnavailable("The session has changed while it was resumed; try again.")
        return saved.epoch

    async def _ask_store(self, ask: Callable[[], Awaitable[T]]) -> T:
        try:
            with anyio.fail_after(_STORE_SECONDS):
                async with self._limiter:
                    return await ask()
        except Exception as error:
            if (more := self._store_failures.next_line()) is not None:
                # The store wrote the text of an `Unreadable` for the operator, as of one whose key is missing.
                reason = AuthorError(str(error)) if isinstance(error, Unreadable) else error
                report(f"the store of sessions{more}", reason)
            raise StoreUnavailable("The session cannot be resumed at present; try again later.") from None


@define(eq=False)
class SavedSession:
    """A session as its record was read."""

    id: str
    #: The key of the record that proves the client's token.
    proof: str
    state: Mapping[str, str] = field(repr=False)
    _sessions: SavedSessions
    #: Whether it was claimed, although its record had changed before. From now on, nobody else changes the record.
    changed: bool = False

    async def claim(self) -> int:
        """Become the owner. See `SavedSessions.claim`."""
        return await self._sessions.claim(self)


@contextmanager
def reading() -> Generator[None]:
    """Raise a `StartFailed` for an exception of the block, which cannot read the record. A `RequestError` stays."""
    try:
        yield
    except RequestError:
        raise
    except Exception as error:
        report("reading a saved session", error)
        raise StartFailed("This server cannot read the saved session.", retryable=True) from None


def _unknown_session() -> RequestError:
    return UnknownSession("The session has ended, or the resume token was revoked; start a new session.")


def _is_session_over(state: Mapping[str, str]) -> bool:
    """Return whether the time to resume a session is over. Its record may be kept for longer, for its history."""
    until: float = decode_json(state["time"]).get("until", inf)
    return until < time.time()
