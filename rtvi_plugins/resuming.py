"""Save sessions, so that they survive a lost connection, a killed process or a release.

A store keeps one record for each session: texts by key, and an epoch. It does not know what the texts mean. The host
writes to the record at two moments only: before a text leaves the session, and before an action with an effect starts.

    host = Host(bot, store=SQLiteStore("sessions.db"), address="http://10.0.0.7:7860")

`MemoryStore` is here; `rtvi_plugins.sqlite_store` has a store in a file. To write another one, implement
`SessionStore`, and test it with `rtvi_plugins.testing.check_store`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Final, Generic, Protocol, Self, TypeVar, runtime_checkable

import anyio
from attrs import define, field, frozen

__all__ = (
    "ENDED",
    "HISTORY",
    "OWNER",
    "BatchWriter",
    "Changes",
    "Fenced",
    "MemoryStore",
    "Saved",
    "SessionStore",
    "Unreadable",
)

#: What a write changes: a text under each key; None removes the key.
Changes = Mapping[str, "str | None"]

#: The key of the owner: the address of the process that holds the session.
OWNER: Final = "owner"

#: The keys of the entries of a session's history begin with this; their number follows.
HISTORY: Final = "history/"

#: The key of the last entry. Its session has ended, and cannot be resumed.
ENDED: Final = "ended"


class Fenced(Exception):
    """The session has another epoch by now, or is not in the store. Nothing was written."""


class Unreadable(Exception):
    """A record cannot be read. The text says why, such as that it is encrypted with another key."""


@frozen
class Saved:
    """The record of a session, with the epoch that `claim` has set."""

    session: str
    epoch: int
    state: Mapping[str, str] = field(repr=False)


@runtime_checkable
class SessionStore(Protocol):
    """Keeps the records of sessions. Several processes may share one.

    The host enters the store, and leaves it at its end. All methods may be called concurrently, for different sessions
    and for the same one. Any exception except `Fenced` is a failure; the host calls again later. `claim`, `owner` and
    `read` may raise `Unreadable`.
    """

    @property
    def durable(self) -> bool:
        """Whether the records outlive this process."""
        ...

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *error: object) -> None: ...

    async def write(self, session: str, epoch: int, changes: Changes, seconds: float) -> None:
        """Change a record: all or nothing, and durable on return. Writes of one session take effect in order.

        A write of epoch 1 with a text under `OWNER` creates a record that does not exist. Raise `Fenced`, and write
        nothing, if the record has another epoch or does not exist. The record is kept for at least `seconds` from now.
        If a write fails, for example because it is too large, the writes of other sessions still succeed.
        """
        ...

    async def claim(self, session: str, owner: str, proof: str) -> Saved | None:
        """Become the owner: set the text under `OWNER`, add 1 to the epoch, and return the record.

        Return None, and change nothing, if the record does not exist, or has no text under the key `proof`. This is
        atomic: when it returns, every write of the owner before is `Fenced`.
        """
        ...

    async def owner(self, session: str) -> str | None:
        """Return the text under `OWNER`; None if the record does not exist."""
        ...

    async def forget(self, session: str, epoch: int | None = None) -> None:
        """Remove a record if it has this epoch. With None, remove it whatever its epoch is.

        None is for an operator who deletes the data of a session: remove it from logs and free space too, as far as the
        store can.
        """
        ...

    async def sessions(self) -> Sequence[str]:
        """Return the ids of all records that have not expired, in any order."""
        ...

    async def read(self, session: str, keys: Collection[str] | None = None) -> Mapping[str, str] | None:
        """Return the texts of a record, by default all, or those under `keys` that it has. Nothing changes.

        Return None if the record does not exist.
        """
        ...


@define(eq=False)
class _Record:
    epoch: int
    state: dict[str, str]
    ends: float


class MemoryStore:
    """Records in the memory of this process: a session survives a lost connection, but not its process.

    Hosts of one process may share it.
    """

    durable = False

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def write(self, session: str, epoch: int, changes: Changes, seconds: float) -> None:
        now = time.monotonic()
        record = self._get(session, now)
        if record is None and epoch == 1 and changes.get(OWNER) is not None:
            self._records = {id: each for id, each in self._records.items() if each.ends > now}
            record = self._records[session] = _Record(1, {}, now)
        if record is None or record.epoch != epoch:
            raise Fenced(session)
        for key, text in changes.items():
            if text is None:
                record.state.pop(key, None)
            else:
                record.state[key] = text
        record.ends = now + seconds

    async def claim(self, session: str, owner: str, proof: str) -> Saved | None:
        record = self._get(session, time.monotonic())
        if record is None or proof not in record.state:
            return None
        record.epoch += 1
        record.state[OWNER] = owner
        return Saved(session, record.epoch, dict(record.state))

    async def owner(self, session: str) -> str | None:
        record = self._get(session, time.monotonic())
        return None if record is None else record.state.get(OWNER)

    async def forget(self, session: str, epoch: int | None = None) -> None:
        record = self._records.get(session)
        if record is not None and epoch in (None, record.epoch):
            del self._records[session]

    async def sessions(self) -> Sequence[str]:
        now = time.monotonic()
        return [id for id, each in self._records.items() if each.ends > now]

    async def read(self, session: str, keys: Collection[str] | None = None) -> Mapping[str, str] | None:
        record = self._get(session, time.monotonic())
        if record is None:
            return None
        return {key: text for key, text in record.state.items() if keys is None or key in keys}

    def _get(self, session: str, now: float) -> _Record | None:
        record = self._records.get(session)
        return record if record is not None and record.ends > now else None


Item = TypeVar("Item")


@define(eq=False)
class _Waiting(Generic[Item]):
    item: Item
    done: anyio.Event = field(factory=anyio.Event)
    error: Exception | None = None


class BatchWriter(Generic[Item]):
    """Makes writes in batches, in order: what arrives while a batch is written is the next batch.

    A transaction, or a round trip to a server, costs nearly the same for many writes as for one. `write` takes a batch
    and returns an exception for each item that failed, by its index. If it raises, an item may be the reason: the batch
    is written again in parts, so that only that item fails. So `write` must accept an item that it has written before.
    If nothing of several parts can be written, or that takes more than a second, the rest of the batch fails.
    """

    def __init__(self, write: Callable[[Sequence[Item]], Awaitable[Mapping[int, Exception]]], *, most: int) -> None:
        self._write = write
        self._most = most
        #: In the order of their arrival, also those of the present batch.
        self._waiting: dict[_Waiting[Item], None] = {}
        self._arrived = anyio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Write in a task of its own during the block. What waits at its end is written before."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._run)
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True), anyio.move_on_after(_LAST_SECONDS):
                    while self._waiting:
                        await next(reversed(self._waiting)).done.wait()
                tasks.cancel_scope.cancel()

    async def write(self, item: Item) -> None:
        """Wait until an item is written. Raise its exception. A caller that is cancelled may still have it written."""
        waiting = _Waiting(item)
        self._waiting[waiting] = None
        self._arrived.set()
        try:
            await waiting.done.wait()
        finally:
            self._leave(waiting)  # a session that no longer waits writes again what it has to write
        if waiting.error is not None:
            raise waiting.error

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived = anyio.Event()
            while self._waiting:
                batch = list(islice(self._waiting, self._most))
                await self._write_batch(batch)
                for each in batch:
                    self._leave(each)

    def _leave(self, waiting: _Waiting[Item]) -> None:
        self._waiting.pop(waiting, None)
        waiting.done.set()

    async def _write_batch(self, batch: Sequence[_Waiting[Item]]) -> None:
        """Write a batch, in the order of its items, and in halves after a failure."""
        until, refused = anyio.current_time() + _ISOLATE_SECONDS, 0
        parts = [batch]
        while parts:
            part = parts.pop()
            try:
                failed = await self._write([each.item for each in part])
            except Exception as error:
                if len(part) > 1 and refused < _REFUSED and anyio.current_time() < until:
                    middle = len(part) // 2
                    parts += [part[middle:], part[:middle]]
                    continue
                failed, refused = dict.fromkeys(range(len(part)), error), refused + 1
            else:
                refused = 0
            for index, each in failed.items():
                part[index].error = each


#: For how long the item of a batch is looked for that cannot be written, in seconds; and how many failures in a row
#: mean that it is not an item.
_ISOLATE_SECONDS, _REFUSED = 1.0, 3
#: How long the last batches may take when a store is left, in seconds.
_LAST_SECONDS: Final = 5.0
