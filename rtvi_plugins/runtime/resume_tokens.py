"""The resume tokens of a session, with which its client comes back.

A token is the session's id and a random secret. The record of the session has a hash of the secret as a key, so that
the store can check it, and nobody who reads the store can use it. Each `bot-ready` brings a new token. The one before
it is valid for a while, because the client may not have received the new one; all others are revoked.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable
from typing import Final

from ..clock import Clock, Timer
from ..session import Secret

__all__ = ("ResumeTokens", "read_token")

#: How long a token is still valid after the next one was sent, in seconds.
_GRACE_SECONDS: Final = 30.0

#: The longest token that is read.
_LONGEST_TOKEN: Final = 256

#: What the id of a session is made of. Anything else is not looked for in the store.
_SESSION_ID: Final = re.compile(r"[A-Za-z0-9_-]+")

_TOKEN_KEY: Final = "token/"


def read_token(token: object) -> tuple[str, str] | None:
    """Return the id of the session, and the key of the record that proves the token; None if this is no token."""
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
