"""Save one session: write what has changed before a text leaves it, and before an effect begins.

Nothing is observed. At these two gates the snapshot is compared with what was written last, and the differences are
written. If nothing differs, nothing is written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from ..clock import Clock, Deadline
from ..errors import Cancelled
from ..protocol.codec import encode_json
from ..resuming import ENDED, HISTORY, Changes, Fenced, SessionStore
from ..utils.waiting import OneShotEvent

__all__ = ("Saver",)

log = logging.getLogger("rtvi_plugins")

#: How long a session waits for the store before it continues unsaved, and then for how long between attempts, in
#: seconds.
_STORE_SECONDS, _RETRY_SECONDS = 2.0, 1.0
#: How long the end of a session waits for the store, in seconds.
_END_SECONDS: Final = 2.0


@define(eq=False)
class Saver:
    """Writes the record of one session."""

    session: str
    epoch: int
    store: SessionStore
    clock: Clock
    #: How long a client may take to come back, in seconds.
    resume_seconds: float
    #: Called when another process has claimed the session.
    on_lost: Callable[[], None]
    #: How long the history of the session is kept, in seconds. 0 keeps none.
    history_seconds: float = 0.0
    #: Called before each write, to `note` what has changed.
    snapshot: Callable[[], None] = lambda: None
    #: Called before a write of `run`, and when it is done, so that the texts from before may leave.
    on_write: Callable[[], None] = lambda: None
    on_saved: Callable[[], None] = lambda: None
    #: Called with each answer to a request: its id and its text.
    answered: Callable[[str, str], None] = lambda id, text: None
    #: Nothing more is noted: the session continues elsewhere, or ends.
    stopped: bool = False
    #: The last snapshot is taken: the session moves to another process.
    frozen: bool = False
    notes: dict[str, str | None] = field(factory=dict[str, "str | None"])
    #: The record as it is after the next write. It is written as a whole if the store has lost it.
    record: dict[str, str] = field(factory=dict[str, str])
    _has_lost_session: bool = False
    #: The keys of the effects that have begun.
    _begun_effects: set[str] = field(factory=set[str])
    _write_lock: anyio.Lock = field(factory=anyio.Lock)
    _tasks: TaskGroup | None = None
    _write_wanted: OneShotEvent | None = None
    _is_write_wanted: bool = True
    #: The store does not answer, so the session continues unsaved.
    _store_is_down: bool = False
    _renewal: Deadline = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._renewal = Deadline(self.clock, self._renew)

    @property
    def keep_seconds(self) -> float:
        """How long a session can be resumed after a write. A live session writes more often, even a silent one."""
        return 2 * self.resume_seconds + _STORE_SECONDS

    # ---- notes -----------------------------------------------------------------------------------------------------

    def note(self, key: str, value: Any) -> None:
        """Write a value with the next write, as JSON. None removes the key. Raise `TypeError` for what is not JSON."""
        self.note_text(key, None if value is None else encode_json(value))

    def note_text(self, key: str, text: str | None) -> None:
        """Write a text with the next write. None removes the key."""
        if self.stopped:
            return
        self.notes[key] = text
        if text is None:
            self.record.pop(key, None)
        else:
            self.record[key] = text

    # ---- the gates -------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Write soon, and then let the texts that wait leave."""
        self._is_write_wanted = True
        if self._write_wanted is not None:
            self._write_wanted.set()
            self._write_wanted = None

    async def begin(self, key: str, text: str) -> None:
        """Note that an effect begins, and wait until it is written. Raise `Cancelled` if the session is elsewhere."""
        self.note_text(key, text)
        self._begun_effects.add(key)
        await self.commit()
        if self.stopped:
            raise Cancelled("The session continues elsewhere.")

    def end(self, key: str, *, always: bool = False) -> bool:
        """Remove what `begin` has noted under a key, or `always` the key. Return whether it was noted by `begin`."""
        has_begun = key in self._begun_effects
        self._begun_effects.discard(key)
        if has_begun or always:
            self.note_text(key, None)
        return has_begun

    async def commit(self) -> None:
        """Wait until everything so far is written, or the store has not answered in time."""
        if self._store_is_down:
            return
        async with self._write_lock:
            if not self.stopped:
                self.snapshot()
                if self.notes and not self._store_is_down:
                    await self._write_notes(_STORE_SECONDS)

    async def run(self) -> None:
        """Write whenever texts wait or the record must be renewed, until the session ends."""
        async with anyio.create_task_group() as self._tasks:
            while True:
                if not self._is_write_wanted:
                    self._write_wanted = OneShotEvent()
                    await self._write_wanted.wait()
                self._is_write_wanted = False
                self.on_write()
                await self.commit()
                if not self.stopped:
                    self.on_saved()

    def _renew(self) -> None:
        """Write before the record expires, also if nothing has changed."""
        self._note_time()
        self.wake()

    async def renew(self) -> None:
        """Write now, also if nothing has changed."""
        self._note_time()
        await self.commit()

    def _note_time(self) -> None:
        self.note_text("time", None)  # a write needs a note; the snapshot replaces it with the present time

    # ---- the store -------------------------------------------------------------------------------------------------

    async def _write_notes(self, seconds: float) -> None:
        changes, self.notes = self.notes, {}
        error: BaseException | None = None
        try:
            with anyio.fail_after(seconds):
                await self._write(changes)
        except Fenced:
            self._has_lost_session = True
            text = "session %s ends in this process: another one has resumed it, or its record is gone from the store"
            log.info(text, self.session, extra={"session": self.session})
            self.stop()
            return self.on_lost()
        except BaseException as raised:
            self.notes = {**changes, **self.notes}
            if not isinstance(raised, Exception):
                raise
            error = raised
        else:
            self._renewal.move(self.clock.now() + self.resume_seconds / 2)
        return self._note_store_state(error)

    async def _write(self, changes: Changes) -> None:
        """Write to the record. Raise `Fenced` if another process has claimed the session."""
        kept = max(self.keep_seconds, self.history_seconds)
        try:
            await self.store.write(self.session, self.epoch, changes, kept)
        except Fenced:
            if not self._store_is_down:
                raise
            # While the store did not answer, the record has expired, or the store has lost it. As an operator
            # may also have deleted it, it is created again only then. If another process has it, this is fenced too.
            await self.store.write(self.session, 1, dict(self.record), kept)
            self.epoch = 1

    def _note_store_state(self, error: BaseException | None) -> None:
        """Log that the store no longer answers, or answers again."""
        about = {"session": self.session}
        if error is None and self._store_is_down:
            self._store_is_down = False
            log.warning("session %s is saved again", self.session, extra=about)
        elif error is not None and not self._store_is_down:
            self._store_is_down = True
            log.error("session %s is not saved at present: %s", self.session, _store_failure(error), extra=about)
            if self._tasks is not None:
                self._tasks.start_soon(self._retry_store)

    async def _retry_store(self) -> None:
        """Write again from time to time, until the store answers. Texts leave meanwhile."""
        while self._store_is_down and not self.stopped:
            moment = OneShotEvent()
            timer = self.clock.call_after(_RETRY_SECONDS, moment.set)
            try:
                await moment.wait()
            finally:
                timer.cancel()
            async with self._write_lock:
                if not self.stopped:
                    self.snapshot()
                    await self._write_notes(_STORE_SECONDS)

    # ---- the end ---------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        self.stopped = True
        self.notes.clear()
        self.record.clear()
        self._renewal.cancel()

    def freeze(self) -> None:
        """Take the last snapshot, which `finish` writes: the session will continue in another process."""
        if not self.stopped:
            self.frozen = True
            self.snapshot()
            self.stopped = True

    async def finish(self, ended: str | None = None) -> None:
        """Write the last snapshot, if one was taken; otherwise forget the record, unless it is another process's.

        With `ended`, the last entry of the history, keep the history and forget the rest.
        """
        self._renewal.cancel()
        self.stopped = True
        if self._has_lost_session:
            return
        if self.frozen:
            self._tasks = None
            async with self._write_lock:  # a write that was cancelled has given back what it had to write
                return await self._write_notes(_END_SECONDS)
        try:
            with anyio.fail_after(_END_SECONDS):
                if ended is None:
                    await self.store.forget(self.session, self.epoch)
                else:
                    await self.store.write(self.session, self.epoch, self._history(ended), self.history_seconds)
        except Fenced:  # it continues elsewhere, or an operator has deleted it
            pass
        except Exception as error:
            text = "the record of session %s could not be removed: %s"
            log.error(text, self.session, _store_failure(error), extra={"session": self.session})
        return None

    def _history(self, ended: str) -> Changes:
        """Return the last write of a session whose history is kept: without tokens, nobody can resume it."""
        rest = dict.fromkeys(key for key in (*self.record, *self.notes) if not key.startswith(HISTORY))
        entries = {key: text for key, text in self.notes.items() if key.startswith(HISTORY)}
        return {**rest, **entries, ENDED: ended}


def _store_failure(error: BaseException) -> str:
    name = type(error).__name__
    return f"the store raised {name}: {error}" if str(error) else f"the store raised {name}"
