"""Let a client come back to its session: the record, the tokens, and the time without a connection.

A token is the session's id and a random secret. The record of the session has a hash of the secret as a key, so that
the store can check it, and nobody who reads the store can use it. Each `bot-ready` brings a new token. The one before
it is valid for a while, because the client may not have received the new one; all others are revoked.

The module has more than 300 lines because a token is part of the session's record.
"""

from __future__ import annotations

import hashlib
import math
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, final

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from ..clock import Clock, Timer
from ..errors import NotReceived, RequestError, SessionTooLong
from ..protocol.codec import decode_json, encode, encode_json
from ..protocol.requests import ClientReady
from ..resuming import HISTORY, OWNER
from ..session import RunLLM, Secret
from .bot_session import BotSession, SessionParts, Shared
from .history import History
from .saved_sessions import SavedSession, reading
from .saving import Saver
from .session_deadlines import SessionTime
from .snapshot import Snapshot

__all__ = ("Resumable", "ResumeTokens", "read_token")

# ---- tokens --------------------------------------------------------------------------------------------------------

#: How long a token is still valid after the next one was sent, in seconds.
_GRACE_SECONDS: Final = 30.0

#: The longest token that is read.
_LONGEST: Final = 256

#: What the id of a session is made of. Anything else is not looked for in the store.
_ID: Final = re.compile(r"[A-Za-z0-9_-]+")

_KEY: Final = "token/"


def read_token(token: object) -> tuple[str, str] | None:
    """Return the id of the session, and the key of the record that proves the token; None if this is no token."""
    if not isinstance(token, str) or len(token) > _LONGEST:
        return None
    session, _, secret = token.partition(".")
    return (session, _key(secret)) if _ID.fullmatch(session) and secret else None


def _key(secret: str) -> str:
    return _KEY + hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class ResumeTokens:
    """The valid tokens of one session. `note` writes a key of its record, or with None removes it."""

    def __init__(self, session: str, clock: Clock, note: Callable[[str, str | None], None]) -> None:
        self._session = session
        self._clock = clock
        self._note = note
        #: The valid keys, oldest first: each with the position of the `bot-ready` that brought the token. None: another
        #: process has sent it.
        self._positions: dict[str, int | None] = {}
        #: The key of the token with which the present connection was made.
        self._used: str | None = None
        #: Kept so that no log shows the tokens.
        self._hidden: dict[str, Secret] = {}
        self._timer: Timer | None = None

    def restore(self, key: str) -> None:
        """Accept the token of another process."""
        if key.startswith(_KEY):
            self._positions[key] = None

    def is_valid(self, key: str) -> bool:
        """Return whether the token with this key may be used."""
        return key in self._positions

    def use(self, key: str) -> None:
        """Note that the present connection was made with this token."""
        self._used = key

    @property
    def position(self) -> int | None:
        """Return the position of the `bot-ready` that brought the used token; None if another process has sent it."""
        return None if self._used is None else self._positions.get(self._used)

    def issue(self) -> str:
        """Return a new token. Only the used one, or else the one before it, stays valid for a while."""
        kept = self._used if self._used in self._positions else next(reversed(self._positions), None)
        for key in [each for each in self._positions if each != kept]:
            self._revoke(key)
        secret = secrets.token_urlsafe(24)
        key, token = _key(secret), f"{self._session}.{secret}"
        self._positions[key], self._hidden[key] = 0, Secret(secret)  # not the id, which the log has
        self._note(key, "1")
        if self._timer is not None:
            self._timer.cancel()
        if kept is not None:
            self._timer = self._clock.call_after(_GRACE_SECONDS, lambda: self._revoke(kept))
        return token

    def place(self, position: int) -> None:
        """Set the position of the `bot-ready` that brings the newest token."""
        self._positions[next(reversed(self._positions))] = position

    def _revoke(self, key: str) -> None:
        del self._positions[key]
        self._hidden.pop(key, None)
        self._note(key, None)

    def close(self) -> None:
        """Stop the timer: the session has ended."""
        if self._timer is not None:
            self._timer.cancel()


# ---- the session ---------------------------------------------------------------------------------------------------

#: How long the history of a session waits for what was cancelled at its end, in seconds.
_UNWIND_SECONDS: Final = 1.0


@final
@define(eq=False)
class Resumable:
    """A session that is saved, and to which a client may come back.

    It is saved from its first `client-ready` on: before that, a client can as well start again. While no client is
    connected, it goes on for `resume_seconds`.
    """

    session: BotSession
    parts: SessionParts
    clock: Clock
    time: SessionTime
    saver: Saver
    snapshot: Snapshot
    tokens: ResumeTokens
    resume_seconds: float
    #: The first keys of the record.
    first: Mapping[str, str]
    #: What happened in the session, if the operator wants it.
    history: History | None
    #: Set when everything that ran in the session has ended.
    unwound: anyio.Event = field(factory=anyio.Event)
    _begun: bool = False
    #: Whether the next `bot-ready` is the first one of a process that has restored the session.
    _is_news: bool = False
    #: Tells the transport of the present connection that another one has replaced it.
    _replace: Callable[[], None] | None = field(default=None)
    #: When the client had sent something last before the present connection.
    _last_received: float = 0.0
    #: The bot was speaking when the connection was lost.
    _was_cut_short: bool = False

    @classmethod
    def create(
        cls,
        session: BotSession,
        parts: SessionParts,
        shared: Shared,
        start: Mapping[str, Any],
        saved: SavedSession | None,
        session_time: SessionTime,
        on_lost: Callable[[], None],
    ) -> Resumable | None:
        """Return what makes a session resumable; None if the host saves no sessions. `start` is saved with it."""
        if shared.store is None:
            return None
        keeping = shared.history_seconds
        saver = Saver(session.id, 1, shared.store, shared.clock, shared.resume_seconds, on_lost, keeping)
        snapshot = Snapshot(session, parts, saver, session_time, time.time)
        saver.snapshot, saver.answered = snapshot.note, snapshot.answered
        tokens = ResumeTokens(session.id, shared.clock, saver.note_text)
        first = {OWNER: shared.address, "start": encode_json(start)} if saved is None else {}
        most = shared.limits.history_size
        full = SessionTooLong(f"The history of the session has reached its greatest size, {most} characters.")
        end = partial(shared.clock.call_after, 0.0, partial(parts.ending.fail, full))  # the action begins before
        history = None if not keeping else History(saver, time.time, most, end)
        seconds = shared.resume_seconds
        made = cls(session, parts, shared.clock, session_time, saver, snapshot, tokens, seconds, first, history)
        parts.protocol.resume = made._offer
        parts.history = parts.actions.history = parts.calls.history = parts.services.history = history
        if history is not None and saved is None:
            history.started(shared.offers.registry.bot.name, session.providers, session.start_data)
        return made

    def _offer(self) -> dict[str, Any]:
        restored, self._is_news = self._is_news, False
        offer = {"token": self.tokens.issue(), "seconds": self.resume_seconds}
        return {**offer, "restored": True} if restored else offer

    # ---- the record ------------------------------------------------------------------------------------------------

    async def restore(self, saved: SavedSession) -> None:
        """Restore the session, claim it, and wait for its client. Raise a `RequestError`, and claim nothing."""
        with reading():
            self._read(saved.state)
        self.saver.epoch = await saved.claim()
        self._wait()

    def _read(self, record: Mapping[str, str]) -> None:
        self.session.resumed = self._is_news = True
        self.parts.outbox.detach()
        if self.history is not None:
            self.saver.keys.update(key for key in record if not key.startswith(HISTORY))
            self.history.resumed(record)
        for key in record:
            self.tokens.restore(key)
        self.snapshot.restore(record)

    def begin(self, tasks: TaskGroup) -> None:
        """Save the session from now on."""
        self._begun = True
        for key, text in self.first.items():
            self.saver.note_text(key, text)
        self.parts.outbox.save_with(self.saver)
        self.parts.actions.saver = self.parts.calls.saver = self.saver
        self.parts.turns.on_rest = self.saver.wake
        tasks.start_soon(self.saver.run)

    def freeze(self) -> None:
        """Stop here: the session goes on in another process."""
        self.saver.freeze()

    @property
    def is_saved(self) -> bool:
        """Whether there is a record."""
        return self._begun

    async def finish(self, then: Callable[[], None]) -> None:
        """Forget the record but for the history, or write the last one after `freeze`.

        Then call `then`, also after a cancellation.
        """
        self.tokens.close()
        with anyio.CancelScope(shield=True):
            try:
                if self.history is not None:  # what was cancelled may still have something to add
                    with anyio.move_on_after(_UNWIND_SECONDS):
                        await self.unwound.wait()
                await self.saver.finish(None if self.history is None else self.history.ended(self.parts.ending.code))
            finally:
                then()

    # ---- connections -----------------------------------------------------------------------------------------------

    @property
    def can_detach(self) -> bool:
        """Whether the session goes on when its connection is lost."""
        return self._begun and not self.session.closing

    def connected(self, replace: Callable[[], None], proof: str | None) -> None:
        """Use a new connection, which was made with the token that `proof` is the key of; None is the first one.

        `replace` is called when another one replaces it.
        """
        before, self._replace = self._replace, replace
        if proof is not None:
            self._last_received = self.time.last_received
            self.tokens.use(proof)
            self._detach()
            if before is not None:
                before()

    def disconnected(self) -> None:
        """Wait for the client: its connection was lost."""
        self._replace = None
        self._detach()

    def _detach(self) -> None:
        self._wait()
        self.parts.protocol.introduced = False
        if self.parts.turns.audio is not None and self.parts.turns.interrupt():
            self._was_cut_short = True
        self._microphone(False)
        self.parts.outbox.detach()

    def _wait(self) -> None:
        """Wait for the client, for a limited time."""
        self.time.away_until = min(self.time.away_until, self.clock.now() + self.resume_seconds)
        self.time.watch()

    def _microphone(self, enabled: bool) -> None:
        """End what the user was saying, or listen again."""
        if self.parts.audio_input is not None:
            self.parts.audio_input.microphone(enabled)

    def ready(self, operation: ClientReady, tasks: TaskGroup) -> None:
        """Send `bot-ready`, and to a client that has come back what it has missed."""
        outbox = self.parts.outbox
        if not self._begun:
            self.begin(tasks)
        self.time.away_until = math.inf
        if not outbox.is_detached:
            self.tokens.place(outbox.put_ready(operation.text))
            return
        self.time.last_received = self._last_received  # a resume is not the user's doing
        issued = self.tokens.position
        position = None if operation.waiting is None else 0 if issued is None else issued + operation.received
        self.tokens.place(outbox.attach(operation.text, position, partial(self._answers, operation)))
        self._microphone(True)
        if self._was_cut_short:
            self._was_cut_short = False
            self._answer_again()

    def _answers(self, operation: ClientReady, missed: Sequence[str]) -> list[str]:
        """Return the answers that the client waits for, but not those that are still to come or are in `missed`.

        A request that never arrived is answered by `NotReceived`.
        """
        if not operation.waiting:
            return []
        protocol = self.parts.protocol
        # Not all answers are in `answered`: a refusal is not, nor that to a question that may as well be asked again.
        sent = {decode_json(text).get("id") for text in missed}
        texts: list[str] = []
        for id in operation.waiting:
            if id in sent or id in protocol.requests.pending:
                continue
            not_received = NotReceived("Send this request again.").to_json
            texts.append(protocol.answered.get(id) or encode("error-response", id, not_received()))
        return texts

    def _answer_again(self) -> None:
        """Have the bot answer once more what it was answering."""
        turns = self.parts.turns
        if not turns.inputs.wants_answer:
            with suppress(RequestError):  # the session is ending, or nobody listens
                turns.submit(RunLLM())
