"""Read the saved session of a client that comes back, and claim it when everything else has succeeded.

A claim ends the session in the process that has it. So a process first reads the record, opens the services and
restores the session; it claims the record last. If something fails before, nothing has changed: the owner goes on, and
the client may try again, here or elsewhere, with the same token.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from math import inf
from typing import TypeVar

import anyio
from attrs import Factory, define, field

from ..clock import Clock
from ..errors import AuthorError, RequestError, StartFailed, StoreUnavailable, UnknownSession, report
from ..protocol.codec import decode_json
from ..resuming import OWNER, SessionStore, Unreadable
from ..security import LogThrottle

__all__ = ("SavedSession", "SavedSessions", "reading")

log = logging.getLogger("rtvi_plugins")

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
    #: Whether it was claimed, and its record was another one by then. Nobody else changes the record from now on.
    changed: bool = False

    async def claim(self) -> int:
        """Become the owner. See `SavedSessions.claim`."""
        return await self._sessions.claim(self)


@contextmanager
def reading() -> Generator[None]:
    """Turn every exception of the block but a `RequestError` into one: the record is not of a form that it knows."""
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
