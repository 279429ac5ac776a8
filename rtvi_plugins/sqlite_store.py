"""A store of sessions in a SQLite file, which the processes of one machine may share. See `rtvi_plugins.resuming`."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import anyio
import anyio.to_thread
from attrs import frozen

from .errors import AuthorError
from .resuming import OWNER, BatchWriter, Changes, Fenced, Saved

__all__ = ("SQLiteStore",)

_log = logging.getLogger("rtvi_plugins")

T = TypeVar("T")

#: The version of the schema, in the file's `user_version`.
_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE session (id TEXT PRIMARY KEY, epoch INTEGER NOT NULL, ends REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX session_ends ON session (ends);
CREATE TABLE state (
    session TEXT NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (session, key)
) WITHOUT ROWID;
"""
#: How long a process waits for another one that writes, in seconds.
_BUSY_SECONDS: Final = 10.0
#: How often a process tries again to prepare a file that another one prepares, in seconds.
_RETRY_SECONDS: Final = 0.01
#: How often expired records are removed, in seconds. How many at once, and how long others may write before the next
#: ones: removing a long history takes a sixth of a second, and nobody can write meanwhile.
_SWEEP_SECONDS, _SWEPT, _PAUSE_SECONDS = 30.0, 10, 0.02
#: What SQLite's own reasons, such as "unable to open database file", do not say. And how to go on after any other.
_PLACE_HINT: Final = " It must be possible to write to the file and to its folder, and the disk must have space."
_FILE_HINT: Final = " Name another file, in a folder that exists."
#: How many writes share a transaction.
_BATCH: Final = 500


@frozen
class _Write:
    session: str
    epoch: int
    changes: Changes
    ends: float


class SQLiteStore:
    """Records in a SQLite file. It is created if it does not exist.

    What was written survives the end of the process, such as `kill -9`. With `full`, each transaction is also flushed
    to the disk, so that it survives a power failure; this takes longer. Entering it raises `AuthorError` if the file
    cannot be used.
    """

    durable = True

    def __init__(self, path: str | os.PathLike[str], *, full: bool = False) -> None:
        self.path = Path(path)
        #: SQLite does not follow when a bot changes the working directory.
        self._where = self.path.absolute()
        self._full = full
        self._db: sqlite3.Connection | None = None
        #: The file that is open. Another one may have its path by now.
        self._opened: os.stat_result | None = None
        #: SQLite writes one after the other anyway, so one thread at a time is enough.
        self._thread = anyio.CapacityLimiter(1)
        self._writer = BatchWriter(self._write_batch, most=_BATCH)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if self._db is not None:
            raise RuntimeError("A SQLiteStore belongs to one host. Make another one with the same path.")
        try:
            self._db = await self._in_thread(self._open)
        except (OSError, sqlite3.Error) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            hint = _PLACE_HINT if isinstance(error, sqlite3.OperationalError) else _FILE_HINT
            raise AuthorError(f"Sessions cannot be saved in {self.path}: {reason}.{hint}") from error
        try:
            tasks = await self._stack.enter_async_context(anyio.create_task_group())
            self._stack.callback(tasks.cancel_scope.cancel)
            tasks.start_soon(self._sweep)
            await self._stack.enter_async_context(self._writer.running())
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()
        db, self._db = self._db, None
        if db is not None:
            with anyio.CancelScope(shield=True):
                await self._in_thread(db.close)

    async def write(self, session: str, epoch: int, changes: Changes, seconds: float) -> None:
        await self._writer.write(_Write(session, epoch, dict(changes), time.time() + seconds))

    async def claim(self, session: str, owner: str, proof: str) -> Saved | None:
        return await self._in_thread(partial(self._claim, session, owner, proof))

    async def owner(self, session: str) -> str | None:
        return await self._in_thread(partial(self._owner, session))

    async def forget(self, session: str, epoch: int | None = None) -> None:
        await self._in_thread(partial(self._forget, session, epoch))
        if epoch is None:
            await self._in_thread(self._empty_log)

    async def sessions(self) -> Sequence[str]:
        return await self._in_thread(self._sessions)

    async def read(self, session: str, keys: Collection[str] | None = None) -> Mapping[str, str] | None:
        return await self._in_thread(partial(self._read, session, keys))

    # ---- in the thread ---------------------------------------------------------------------------------------------

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(function, limiter=self._thread)

    @property
    def _file(self) -> sqlite3.Connection:
        if self._db is None:
            raise RuntimeError("The store is not open.")
        return self._db

    def _open(self) -> sqlite3.Connection:
        if not self.path.exists():  # only its owner may read the conversations
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        db = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            self._refuse_foreign(db)
            _use_wal(db)
            db.execute(f"PRAGMA synchronous = {'FULL' if self._full else 'NORMAL'}")
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA secure_delete = ON")  # overwrite what is deleted or replaced
            db.execute("BEGIN IMMEDIATE")
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > _VERSION:
                raise AuthorError(f"{self.path} was written by a newer release, with version {version} of the schema.")
            if version == 0:
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {_VERSION}")
            db.execute("COMMIT")
            self._opened = self._where.stat()
        except BaseException:
            db.close()
            raise
        return db

    def _refuse_foreign(self, db: sqlite3.Connection) -> None:
        """Raise `AuthorError` for the database of another program, before anything is changed in it."""
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()}
        if tables and not tables >= {"session", "state"}:
            raise AuthorError(f"{self.path} is the database of another program. Name another file for the sessions.")

    def _check_file(self) -> None:
        """Raise `OSError` if the file was removed or replaced. SQLite would continue to write to the lost one."""
        opened, present = self._opened, None
        with suppress(FileNotFoundError):
            present = self._where.stat()
        if opened is not None and (present is None or not os.path.samestat(opened, present)):
            raise OSError(f"{self.path} was removed or replaced while it was in use; start the server again")

    async def _write_batch(self, batch: Sequence[_Write]) -> Mapping[int, Exception]:
        return await self._in_thread(partial(self._transaction, partial(self._write_all, batch)))

    def _transaction(self, function: Callable[[sqlite3.Connection], T]) -> T:
        db = self._file
        self._check_file()
        db.execute("BEGIN IMMEDIATE")
        try:
            result = function(db)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:  # SQLite has ended it itself if the disk is full
                db.execute("ROLLBACK")
            raise
        return result

    def _write_all(self, batch: Sequence[_Write], db: sqlite3.Connection) -> Mapping[int, Exception]:
        fenced: dict[int, Exception] = {}
        for index, each in enumerate(batch):
            if each.epoch == 1 and each.changes.get(OWNER) is not None:
                db.execute("INSERT OR IGNORE INTO session VALUES (?, 1, ?)", (each.session, each.ends))
            touched = db.execute(
                "UPDATE session SET ends = ? WHERE id = ? AND epoch = ?", (each.ends, each.session, each.epoch)
            )
            if touched.rowcount == 0:
                fenced[index] = Fenced(each.session)
                continue
            put = [(each.session, key, text) for key, text in each.changes.items() if text is not None]
            db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", put)
            gone = [(each.session, key) for key, text in each.changes.items() if text is None]
            db.executemany("DELETE FROM state WHERE session = ? AND key = ?", gone)
        return fenced

    def _claim(self, session: str, owner: str, proof: str) -> Saved | None:
        def claim(db: sqlite3.Connection) -> Saved | None:
            row: Any = db.execute(
                "UPDATE session SET epoch = epoch + 1 WHERE id = ? AND ends > ?"
                " AND EXISTS (SELECT 1 FROM state WHERE session = id AND key = ?) RETURNING epoch",
                (session, time.time(), proof),
            ).fetchone()
            if row is None:
                return None
            db.execute("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", (session, OWNER, owner))
            state = dict(db.execute("SELECT key, value FROM state WHERE session = ?", (session,)).fetchall())
            return Saved(session, row[0], state)

        # Reading takes no lock, so a client that guesses tokens does not keep other processes from writing.
        proved = self._file.execute("SELECT 1 FROM state WHERE session = ? AND key = ?", (session, proof)).fetchone()
        return None if proved is None else self._transaction(claim)

    def _owner(self, session: str) -> str | None:
        query = "SELECT value FROM session JOIN state ON session = id WHERE id = ? AND key = ? AND ends > ?"
        row: Any = self._file.execute(query, (session, OWNER, time.time())).fetchone()
        return None if row is None else str(row[0])

    def _forget(self, session: str, epoch: int | None) -> None:
        self._file.execute("DELETE FROM session WHERE id = ? AND epoch = ifnull(?, epoch)", (session, epoch))

    def _empty_log(self) -> None:
        """Empty the write-ahead log, which still has what was deleted. Wait for those who read or write."""
        (busy, *_) = self._file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            _log.warning("%s-wal may still have what was deleted, because other processes use the file", self.path)

    def _sessions(self) -> Sequence[str]:
        found = self._file.execute("SELECT id FROM session WHERE ends > ?", (time.time(),))
        return [id for (id,) in found.fetchall()]

    def _read(self, session: str, keys: Collection[str] | None) -> Mapping[str, str] | None:
        # One statement, so that all texts are of the same moment. The row without a key is that of the session.
        among = "" if keys is None else f" AND key IN ({', '.join('?' * len(keys))})"
        query = (
            "SELECT NULL, NULL FROM session WHERE id = ? AND ends > ? UNION ALL"
            f" SELECT key, value FROM state JOIN session ON session = id WHERE id = ? AND ends > ?{among}"
        )
        now = time.time()
        found = self._file.execute(query, (session, now, session, now, *(keys or ()))).fetchall()
        return {key: text for key, text in found if key is not None} if found else None

    # ---- the sweeper -----------------------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        """Remove records that had expired at the sweep before.

        If the machine's clock is set forward, all records seem to have expired until their sessions write again.
        """
        until = time.time()
        while True:
            removed = 0
            try:
                removed = await self._in_thread(partial(self._sweep_some, until))
            except sqlite3.Error as error:
                _log.warning("old sessions could not be removed from %s: %s", self.path, error)
            if removed == _SWEPT:
                await anyio.sleep(_PAUSE_SECONDS)
                continue
            until = time.time()
            await anyio.sleep(_SWEEP_SECONDS)

    def _sweep_some(self, until: float) -> int:
        old = "SELECT id FROM session WHERE ends <= ? LIMIT ?"
        with closing(self._file.execute(f"DELETE FROM session WHERE id IN ({old})", (until, _SWEPT))) as done:
            return done.rowcount


def _use_wal(db: sqlite3.Connection) -> None:
    """Switch the file to a write-ahead log, if it is not yet.

    SQLite does not wait here: it refuses at once while another process does the same, as when two workers start.
    """
    until = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            return
