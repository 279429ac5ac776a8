"""Let a client come back to its session: what is saved, and the time without a connection."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, final

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from ..errors import NotReceived, SessionTooLong
from ..protocol.codec import decode_json, encode, encode_json
from ..protocol.requests import ClientReady
from ..resuming import OWNER
from .bot_session import BotSession, SessionParts
from .history import History
from .saved_sessions import ResumeTokens, SavedSession, reading
from .saving import Saver
from .snapshot import Snapshot

__all__ = ("Resumable",)

#: How long the history of a session waits for what was cancelled at its end, in seconds.
_UNWIND_SECONDS: Final = 1.0


@final
@define(eq=False)
class Resumable:
    """A session that is saved, and to which a client may come back.

    It is saved from its first `client-ready` on: before that, a client can simply start again. While no client is
    connected, it continues for `resume_seconds`.
    """

    session: BotSession
    parts: SessionParts
    saver: Saver
    snapshot: Snapshot
    tokens: ResumeTokens
    #: The first keys of the record.
    first: Mapping[str, str]
    #: Set when everything that ran in the session has ended.
    unwound: anyio.Event = field(factory=anyio.Event)
    #: Whether the session is saved: there is a record.
    is_saved: bool = False
    #: Whether the next `bot-ready` is the first one of a process that has restored the session.
    _is_news: bool = False
    #: Tells the transport of the present connection that another one has replaced it.
    _replace: Callable[[], None] | None = None
    #: When the client had sent something last before the present connection.
    _last_received: float = 0.0

    @classmethod
    def create(
        cls, session: BotSession, parts: SessionParts, start: Mapping[str, Any], saved: SavedSession | None
    ) -> Resumable | None:
        """Return what makes a session resumable; None if the host saves no sessions. `start` is saved with it."""
        shared = parts.shared
        if shared.store is None:
            return None
        keeping = shared.history_seconds
        saver = Saver(session.id, 1, shared.store, shared.clock, shared.resume_seconds, parts.end.move, keeping)
        snapshot = Snapshot(session, parts, saver, time.time)
        saver.snapshot, saver.answered = snapshot.note, snapshot.answered
        tokens = ResumeTokens(session.id, shared.clock, saver.note_text)
        first = {OWNER: shared.address, "start": encode_json(start)} if saved is None else {}
        most = shared.limits.history_size
        full = SessionTooLong(f"The history of the session has reached its maximum size, {most} characters.")
        end = partial(shared.clock.call_after, 0.0, partial(parts.end.fail, full))  # the action begins before
        parts.history = None if not keeping else History(saver, time.time, most, end)
        made = cls(session, parts, saver, snapshot, tokens, first)
        parts.protocol.resume = made._offer
        if parts.history is not None and saved is None:
            parts.history.started(shared.offers.registry.bot.name, session.providers, session.start_data)
        return made

    def _offer(self) -> dict[str, Any]:
        restored, self._is_news = self._is_news, False
        offer = {"token": self.tokens.issue(), "seconds": self.parts.shared.resume_seconds}
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
        self.saver.record = {**record, OWNER: self.parts.shared.address}
        if self.parts.history is not None:
            self.parts.history.resumed(record)
        for key in record:
            self.tokens.restore(key)
        self.snapshot.restore(record)

    def begin(self, tasks: TaskGroup) -> None:
        """Save the session from now on."""
        self.is_saved = True
        for key, text in self.first.items():
            self.saver.note_text(key, text)
        self.parts.outbox.save_with(self.saver)
        self.parts.saver = self.saver
        self.parts.turns.on_change = self.saver.wake
        tasks.start_soon(self.saver.run)

    async def finish(self, then: Callable[[], None]) -> None:
        """Forget the record except the history, or write the last one after `freeze`.

        Then call `then`, also after a cancellation.
        """
        self.tokens.close()
        with anyio.CancelScope(shield=True):
            try:
                history = self.parts.history
                if history is not None:  # what was cancelled may still have something to add
                    with anyio.move_on_after(_UNWIND_SECONDS):
                        await self.unwound.wait()
                await self.saver.finish(None if history is None else history.ended(self.parts.end.code))
            finally:
                then()

    async def check_owner(self) -> None:
        """End the session if another process has resumed it, which is noticed when the record is written."""
        if self.is_saved:
            await self.saver.renew()

    # ---- connections -----------------------------------------------------------------------------------------------

    @property
    def can_detach(self) -> bool:
        """Whether the session continues when its connection is lost."""
        return self.is_saved and not self.session.closing

    def connected(self, replace: Callable[[], None], proof: str | None) -> None:
        """Use a new connection, which was made with the token that `proof` is the key of; None is the first one.

        `replace` is called when another one replaces it.
        """
        before, self._replace = self._replace, replace
        if proof is not None:
            self._last_received = self.parts.end.last_received
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
        self.parts.turns.detach()
        self._microphone(False)
        self.parts.outbox.detach()

    def _wait(self) -> None:
        """Wait for the client, for a limited time."""
        end, shared = self.parts.end, self.parts.shared
        end.away_until = min(end.away_until, shared.clock.now() + shared.resume_seconds)
        end.watch_session()

    def _microphone(self, enabled: bool) -> None:
        """End what the user was saying, or listen again."""
        if self.parts.audio_input is not None:
            self.parts.audio_input.microphone(enabled)

    def ready(self, operation: ClientReady, tasks: TaskGroup) -> None:
        """Send `bot-ready`, and to a client that has come back what it has missed."""
        outbox = self.parts.outbox
        if not self.is_saved:
            self.begin(tasks)
        self.parts.end.away_until = math.inf
        if not outbox.is_detached:
            self.tokens.place(outbox.put_ready(operation.text))
            return
        self.parts.end.last_received = self._last_received  # a resume is no action of the user
        issued = self.tokens.position
        position = None if operation.waiting is None else 0 if issued is None else issued + operation.received
        self.tokens.place(outbox.attach(operation.text, position, partial(self._answers, operation)))
        self._microphone(True)
        self.parts.turns.attach()

    def _answers(self, operation: ClientReady, missed: Sequence[str]) -> list[str]:
        """Return the answers that the client waits for, but not those that are still to come or are in `missed`.

        A message that never arrived is answered by `NotReceived`, also one that has no other answer.
        """
        if not operation.waiting:
            return []
        protocol = self.parts.protocol
        # Not all answers are in `answered`: neither a refusal nor the answer to a question that can be asked again.
        sent = {decode_json(text).get("id") for text in missed}
        texts: list[str] = []
        for id in operation.waiting:
            if id in sent or id in protocol.requests.pending:
                continue
            if id not in protocol.answered:
                texts.append(encode("error-response", id, NotReceived("Send this message again.").to_json()))
            elif answer := protocol.answered[id]:
                texts.append(answer)
        return texts
