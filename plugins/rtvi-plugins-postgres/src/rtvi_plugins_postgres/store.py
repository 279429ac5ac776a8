"""The store. Functions in the database check the epoch, so a batch of writes is one round trip and one transaction.

The client of PostgreSQL works in threads: so the store runs on asyncio and on trio, and never blocks the event loop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final, Self, TypeVar

import anyio
import anyio.to_thread
import psycopg
from attrs import frozen
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool

from rtvi_plugins.resuming import OWNER, BatchWriter, Changes, Fenced, Saved

from .schema import prepare

__all__ = ("PostgresStore",)

log = logging.getLogger("rtvi_plugins.postgres")

T = TypeVar("T")

_WRITE: Final = (
    "SELECT rtvi.write(%s, %s, clock_timestamp() + make_interval(secs => %s), %s, %s::text[], %s::text[], %s::text[])"
)
#: How long to wait for a connection, in seconds.
_TIMEOUT: Final = 5.0
#: Unless the URL has other values: a connection that a machine or a firewall in between has lost is noticed within
#: seconds. The system's own times are minutes and hours.
_NETWORK: Final[Mapping[str, Any]] = {
    "connect_timeout": int(_TIMEOUT),
    "keepalives_idle": 30,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": int(1000 * _TIMEOUT),
}
#: How many writes share a transaction. How many other calls are under way at once: when a machine has died,
#: hundreds of sessions are claimed, and each would open a connection.
_BATCH, _CALLS = 500, 16
#: How often expired records are removed, in seconds, and how many at once.
_SWEEP_SECONDS, _SWEPT = 30.0, 500


@frozen
class _Write:
    session: str
    epoch: int
    changes: Changes
    seconds: float


class PostgresStore:
    """Records in PostgreSQL, which several machines may share. `url` is as in `"postgresql://bots@10.0.0.5/bots"`.

    Raise `ValueError` for a URL that is not valid. The tables are in the schema `rtvi`, which is created if it does not
    exist. Entering the store raises `ValueError` for the schema of a newer release. A write is durable when the
    transaction is: set `synchronous_commit` and replication as for any other data.
    """

    durable = True

    def __init__(self, url: str) -> None:
        try:
            given = conninfo_to_dict(url)
        except psycopg.ProgrammingError as error:
            raise ValueError(str(error).strip()) from None
        self._url = url
        self._network = {name: value for name, value in _NETWORK.items() if name not in given}
        #: One connection more than claims, for the writer.
        self._pool = ConnectionPool(
            url, kwargs=self._network, min_size=1, max_size=_CALLS + 1, timeout=_TIMEOUT, open=False
        )
        self._writing = anyio.CapacityLimiter(1)
        self._calling = anyio.CapacityLimiter(_CALLS)
        self._writer = BatchWriter(self._write_batch, most=_BATCH)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await anyio.to_thread.run_sync(self._open, limiter=self._calling)
        try:
            tasks = await self._stack.enter_async_context(anyio.create_task_group())
            self._stack.callback(tasks.cancel_scope.cancel)
            tasks.start_soon(self._sweep)
            await self._stack.enter_async_context(self._writer.running())
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._close()

    async def write(self, session: str, epoch: int, changes: Changes, seconds: float) -> None:
        await self._writer.write(_Write(session, epoch, dict(changes), seconds))

    async def claim(self, session: str, owner: str, proof: str) -> Saved | None:
        return await self._in_thread(partial(self._claim, session, owner, proof))

    async def owner(self, session: str) -> str | None:
        return await self._in_thread(partial(self._owner, session))

    async def forget(self, session: str, epoch: int | None = None) -> None:
        await self._in_thread(partial(self._forget, session, epoch))

    async def sessions(self) -> Sequence[str]:
        return await self._in_thread(self._sessions)

    async def read(self, session: str, keys: Collection[str] | None = None) -> Mapping[str, str] | None:
        return await self._in_thread(partial(self._read, session, keys))

    async def _close(self) -> None:
        await self._stack.aclose()
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._pool.close, limiter=self._calling)

    async def _write_batch(self, batch: Sequence[_Write]) -> Mapping[int, Exception]:
        return await anyio.to_thread.run_sync(self._write_all, batch, limiter=self._writing)

    async def _in_thread(self, function: Callable[[], T]) -> T:
        # A server that is stuck holds its connections for as long as it likes. Their number bounds that of the threads.
        return await anyio.to_thread.run_sync(function, limiter=self._calling, abandon_on_cancel=True)

    # ---- in threads ------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        # Not through the pool, which would try again until its time is over.
        with psycopg.connect(self._url, **self._network) as connection:
            prepare(connection)
        self._pool.open()

    def _write_all(self, batch: Sequence[_Write]) -> Mapping[int, Exception]:
        # All processes lock rows in the same order, so that no two wait for each other.
        order = sorted(range(len(batch)), key=lambda index: batch[index].session)
        with self._pool.connection() as connection, connection.pipeline():
            cursors = [connection.execute(_WRITE, _arguments(batch[index])) for index in order]
            rows = [cursor.fetchone() for cursor in cursors]
        done = zip(order, rows, strict=True)
        return {index: Fenced(batch[index].session) for index, row in done if row is None or not row[0]}

    def _claim(self, session: str, owner: str, proof: str) -> Saved | None:
        with self._pool.connection() as connection:
            row: Any = connection.execute(
                "SELECT rtvi.claim(%s, %s, %s, %s)", (session, OWNER, _written(owner), _written(proof))
            ).fetchone()
            if row[0] is None:
                return None
            found = connection.execute("SELECT key, value FROM rtvi.state WHERE session = %s", (session,)).fetchall()
        return Saved(session, row[0], {_read(key): _read(text) for key, text in found})

    def _owner(self, session: str) -> str | None:
        query = (
            "SELECT value FROM rtvi.session JOIN rtvi.state ON session = id"
            " WHERE id = %s AND key = %s AND ends > clock_timestamp()"
        )
        with self._pool.connection() as connection:
            row: Any = connection.execute(query, (session, OWNER)).fetchone()
        return None if row is None else _read(row[0])

    def _forget(self, session: str, epoch: int | None) -> None:
        query = "DELETE FROM rtvi.session WHERE id = %s AND epoch = coalesce(%s, epoch)"
        with self._pool.connection() as connection:
            connection.execute(query, (session, epoch))

    def _sessions(self) -> Sequence[str]:
        with self._pool.connection() as connection:
            found = connection.execute("SELECT id FROM rtvi.session WHERE ends > clock_timestamp()").fetchall()
        return [str(id) for (id,) in found]

    def _read(self, session: str, keys: Collection[str] | None) -> Mapping[str, str] | None:
        query = (
            "SELECT key, value FROM rtvi.session LEFT JOIN rtvi.state ON session = id"
            " AND (%s::text[] IS NULL OR key = ANY (%s::text[])) WHERE id = %s AND ends > clock_timestamp()"
        )
        chosen = None if keys is None else [_written(key) for key in keys]
        with self._pool.connection() as connection:
            found: Any = connection.execute(query, (chosen, chosen, session)).fetchall()
        return {_read(key): _read(text) for key, text in found if key is not None} if found else None

    # ---- the sweeper -----------------------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        """Remove expired records."""
        while True:
            try:
                while await self._in_thread(self._sweep_some) == _SWEPT:
                    pass
            except psycopg.Error as error:
                log.warning("old sessions could not be removed: %s", type(error).__name__)
            await anyio.sleep(_SWEEP_SECONDS)

    def _sweep_some(self) -> int:
        old = "SELECT id FROM rtvi.session WHERE ends <= clock_timestamp() LIMIT %s FOR UPDATE SKIP LOCKED"
        with self._pool.connection() as connection:
            return connection.execute(f"DELETE FROM rtvi.session WHERE id IN ({old})", (_SWEPT,)).rowcount


def _arguments(write: _Write) -> tuple[Any, ...]:
    put = {_written(key): _written(text) for key, text in write.changes.items() if text is not None}
    gone = [_written(key) for key, text in write.changes.items() if text is None]
    creates = write.epoch == 1 and OWNER in put
    return write.session, write.epoch, write.seconds, creates, [*put], [*put.values()], gone


def _written(text: str) -> str:
    """Return a text that PostgreSQL accepts: it refuses U+0000, which clients may put into the id of a request."""
    return text.replace("\x1a", "\x1a1").replace("\0", "\x1a0")


def _read(text: str) -> str:
    return text.replace("\x1a0", "\0").replace("\x1a1", "\x1a")
