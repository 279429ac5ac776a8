"""Resumes: the session of a client that comes back, in this process or from the store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import anyio
from attrs import define, field

from ..errors import RequestError, StoreUnavailable, UnknownSession
from ..utils.json_values import is_object
from .saved_sessions import SavedSession, SavedSessions, read_token
from .session_life import LiveSession

__all__ = ("Resumes",)

#: How often a resume starts again because the owner has changed the session meanwhile.
_ATTEMPTS = 3


@define(eq=False)
class Resumes:
    """Finds the sessions of clients that come back."""

    #: The sessions of this process, by id.
    sessions: Mapping[str, LiveSession]
    #: The sessions in the store. None if sessions are not saved: then no client can come back.
    saved: SavedSessions | None
    #: Raise a `RequestError` if this process starts no more sessions.
    admit: Callable[[], None]
    #: Opens the services of a saved session again, restores it, and claims it. Raise a `RequestError`.
    restore: Callable[[SavedSession], Awaitable[LiveSession]]
    #: The sessions that are being restored.
    _restoring: dict[str, anyio.Event] = field(factory=dict[str, anyio.Event])

    async def owner_of(self, body: object) -> str | None:
        """Return the address of the other process that has the session of a start request. See `Host.owner_of`."""
        read = read_token(body.get("resume")) if is_object(body) else None
        if read is None or self.saved is None:
            return None
        if (session := self.sessions.get(read[0])) is not None and not session.closed:
            return None
        try:
            owner = await self.saved.owner(read[0])
        except StoreUnavailable:  # the start will say so
            return None
        return None if owner == self.saved.address else owner

    async def find(self, token: object) -> tuple[LiveSession, str]:
        """Return the session of a resume token, and the key of its record that proves it. Raise a `RequestError`."""
        read = read_token(token)
        if read is None or self.saved is None:
            raise UnknownSession("This is not a resume token of this server; start a new session.")
        id, proof = read
        session = await self._settled(id)
        if session is not None and session.resumable is not None and not session.resumable.tokens.is_valid(proof):
            await self.saved.read(id, proof)  # raises for a token that the record does not have either, without a write
            await session.resumable.check_owner()
            session = await self._settled(id)
        if session is None or session.closed:
            self.admit()
            done = self._restoring[id] = anyio.Event()
            try:
                session = await self._restore(self.saved, id, proof)
            except RequestError as error:
                # Nothing has changed, so another process may succeed.
                error.retryable = not isinstance(error, UnknownSession)
                raise
            finally:
                del self._restoring[id]
                done.set()
        elif session.resumable is None or not session.resumable.tokens.is_valid(proof):
            raise UnknownSession("The resume token was used already, or was revoked; start a new session.")
        return session, proof

    async def _settled(self, id: str) -> LiveSession | None:
        """Return the session of this process, if any, once it is not being restored and does not end at the moment."""
        while True:  # several may wait, and only one of them may go on
            session = self.sessions.get(id)
            if (restoring := self._restoring.get(id)) is not None:
                await restoring.wait()
            elif session is not None and session.closed and not session.finished.is_true():
                await session.finished.wait()
            else:
                return session

    async def _restore(self, sessions: SavedSessions, id: str, proof: str) -> LiveSession:
        for attempt in range(1, _ATTEMPTS + 1):
            saved = await sessions.read(id, proof)
            try:
                return await self.restore(saved)
            except RequestError:
                if not saved.changed or attempt == _ATTEMPTS:
                    raise
        raise AssertionError
