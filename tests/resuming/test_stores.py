"""The stores of sessions are checked against `SessionStore`."""

from __future__ import annotations

import sqlite3
import stat
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import anyio
import pytest

from rtvi_plugins.errors import AuthorError
from rtvi_plugins.resuming import OWNER, BatchWriter, Changes, Fenced, MemoryStore, Saved
from rtvi_plugins.sqlite_store import SQLiteStore
from rtvi_plugins.stores import entered
from rtvi_plugins.testing import check_store

pytestmark = pytest.mark.anyio


async def test_the_memory_store_keeps_its_promises() -> None:
    """It serves all hosts of the process."""
    store = MemoryStore()
    await check_store(lambda: store)


@pytest.mark.parametrize("full", [False, True])
async def test_the_sqlite_store_keeps_its_promises(tmp_path: Path, full: bool) -> None:
    """It serves all processes that share the file."""
    await check_store(lambda: SQLiteStore(tmp_path / "sessions.db", full=full), expires=full)


class Broken(MemoryStore):
    """A store that lets every owner write."""

    async def claim(self, session: str, owner: str, proof: str) -> Saved | None:
        saved = await super().claim(session, owner, proof)
        if saved is not None:
            self._records[session].epoch -= 1
        return saved


async def test_a_store_that_fences_nobody_is_found() -> None:
    """`check_store` says what such a store does wrong."""
    store = Broken()
    with pytest.raises(AssertionError, match="the owner before may still write"):
        await check_store(lambda: store, expires=False)


@pytest.mark.skipif(sys.platform == "win32", reason="files have no mode")
async def test_the_file_belongs_to_its_user_alone(tmp_path: Path) -> None:
    """Nobody else may read conversations."""
    path = tmp_path / "sessions.db"
    async with SQLiteStore(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_file_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    """A process that does not know its schema does not change it."""
    path = tmp_path / "sessions.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(AuthorError, match="newer release, with version 99"):
        async with SQLiteStore(path):
            pass


async def test_a_new_file_may_be_prepared_by_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If another process prepares the file, a process tries again. So workers may start at the same time."""
    with closing(sqlite3.connect(tmp_path / "sessions.db", isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        waits: list[float] = []

        def wait(seconds: float) -> None:
            waits.append(seconds)
            other.execute("COMMIT")

        monkeypatch.setattr("rtvi_plugins.sqlite_store.time.sleep", wait)
        async with SQLiteStore(tmp_path / "sessions.db") as store:
            assert await store.owner("s") is None
        assert len(waits) == 1


async def write_all(writer: BatchWriter[int], count: int) -> tuple[list[int], list[int]]:
    """Write numbers at once. Return them in the order in which they were sent, and those that have failed."""
    sent: list[int] = []
    failed: list[int] = []

    async def write(item: int) -> None:
        sent.append(item)
        try:
            await writer.write(item)
        except OSError:
            failed.append(item)

    async with writer.running(), anyio.create_task_group() as tasks:
        for item in range(count):
            tasks.start_soon(write, item)
    return sent, failed


async def test_a_store_that_fails_fails_for_each_of_its_writers() -> None:
    """After a few attempts, each session knows that it is not saved."""
    batches: list[int] = []

    async def write(items: Sequence[int]) -> Mapping[int, Exception]:
        batches.append(len(items))
        raise OSError("the disk is full")

    sent, failed = await write_all(BatchWriter[int](write, most=500), 500)
    assert sorted(failed) == sorted(sent)
    assert len(batches) < 20


async def test_what_nobody_waits_for_any_longer_is_not_written() -> None:
    """If the store hangs, a session stops waiting and tries again. Its attempts must not accumulate."""
    gate, begun = anyio.Event(), anyio.Event()
    written: list[int] = []

    async def write(items: Sequence[int]) -> Mapping[int, Exception]:
        begun.set()
        await gate.wait()
        written.extend(items)
        return {}

    writer = BatchWriter[int](write, most=500)
    async with writer.running(), anyio.create_task_group() as tasks:
        tasks.start_soon(writer.write, 0)
        await begun.wait()
        async with anyio.create_task_group() as impatient:
            for item in range(1, 100):
                impatient.start_soon(writer.write, item)
            await anyio.wait_all_tasks_blocked()
            impatient.cancel_scope.cancel()
        gate.set()
        await writer.write(100)
    assert written == [0, 100]


@pytest.mark.parametrize("bad", [{0}, {250}, {499}, {7, 8}, {3, 77, 400}])
async def test_an_item_that_cannot_be_written_fails_alone(bad: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The others of its batch are written, in order."""
    monkeypatch.setattr("rtvi_plugins.resuming._ISOLATE_SECONDS", 60.0)  # a busy machine may take long
    batches: list[int] = []
    written: list[int] = []

    async def write(items: Sequence[int]) -> Mapping[int, Exception]:
        batches.append(len(items))
        if bad.intersection(items):
            raise OSError("too large")
        written.extend(items)
        return {}

    sent, failed = await write_all(BatchWriter[int](write, most=500), 500)
    assert set(failed) == bad
    assert written == [each for each in sent if each not in bad]
    assert len(batches) < 70


async def test_records_whose_time_is_over_leave_the_file(tmp_path: Path) -> None:
    """The sweeper removes them with all their texts."""
    path = tmp_path / "sessions.db"
    async with SQLiteStore(path) as store:
        await store.write("old", 1, {OWNER: "one", "m/0": "text"}, 0.0)
        await store.write("new", 1, {OWNER: "one", "m/0": "text"}, 60.0)
    async with SQLiteStore(path) as store:
        assert await store.owner("new") == "one"
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT DISTINCT session FROM state").fetchall() == [("new",)]
    db.close()


async def test_a_clock_that_is_set_forward_ends_no_live_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record seems to be over until its next write. It is removed when it was over for a whole pause."""
    now = 1000.0
    asleep, woken = anyio.Event(), anyio.Event()

    async def sleep(seconds: float) -> None:
        asleep.set()
        await woken.wait()

    async def sweep() -> None:
        nonlocal asleep, woken
        await asleep.wait()
        asleep, before, woken = anyio.Event(), woken, anyio.Event()
        before.set()
        await asleep.wait()

    monkeypatch.setattr("rtvi_plugins.sqlite_store.time.time", lambda: now)
    monkeypatch.setattr("rtvi_plugins.sqlite_store.anyio.sleep", sleep)
    async with SQLiteStore(tmp_path / "sessions.db") as store:
        await store.write("s", 1, {OWNER: "one"}, 60)
        now = 5000.0
        await sweep()
        await store.write("s", 1, {}, 60)
        await sweep()
        assert await store.owner("s") == "one"
        now = 9000.0
        await sweep()
        await sweep()
        with pytest.raises(Fenced):
            await store.write("s", 1, {}, 60)


async def test_a_session_is_written_while_many_old_ones_are_removed(tmp_path: Path) -> None:
    """A client may have filled hundreds of histories, which expire at the same moment."""
    path = tmp_path / "sessions.db"
    async with SQLiteStore(path):
        pass
    with closing(sqlite3.connect(path)) as db, db:
        db.executemany("INSERT INTO session VALUES (?, 1, 0.0)", [(f"old-{number}",) for number in range(400)])
    async with SQLiteStore(path) as store:
        await store.write("new", 1, {OWNER: "one"}, 60.0)
        with closing(sqlite3.connect(path)) as db:
            (left,) = db.execute("SELECT count(*) FROM session WHERE ends = 0.0").fetchone()
    assert left > 0


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (None, "No such file or directory. Name another file, in a folder that exists."),
        (
            "no database, but a text that is long enough to be read as a header of one",
            "file is not a database. Name another file, in",
        ),
    ],
)
async def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, written: str | None, problem: str) -> None:
    """Its folder does not exist, or it is not a database."""
    path = tmp_path / "nowhere" / "sessions.db"
    if written is not None:
        path = tmp_path / "sessions.db"
        path.write_text(written)
    with pytest.raises(AuthorError, match=rf"Sessions cannot be saved in .*sessions\.db: {problem}"):
        async with SQLiteStore(path):
            pass


async def test_a_file_that_cannot_be_opened_says_what_it_needs(tmp_path: Path) -> None:
    """SQLite says the same of a read-only folder, the file of another user, and a full disk."""
    (tmp_path / "sessions.db").mkdir()
    with pytest.raises(
        AuthorError, match=r"unable to open database file\. It must be possible to write to the file and"
    ):
        async with SQLiteStore(tmp_path / "sessions.db"):
            pass


async def test_the_database_of_another_program_is_not_changed(tmp_path: Path) -> None:
    """An operator may name the wrong file."""
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE orders (id)")
        db.commit()
    before = path.read_bytes()
    with pytest.raises(AuthorError, match=r"shop\.db is the database of another program\. Name another file"):
        async with SQLiteStore(path):
            pass
    assert path.read_bytes() == before


class Unreachable(MemoryStore):
    """Raises an exception as the client of a database does."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def __aenter__(self) -> Self:
        raise self.error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError("connection refused.\n\tIs the server running?"), "connection refused"),
        (TimeoutError(), "TimeoutError"),
    ],
)
async def test_a_store_that_cannot_be_reached_is_a_sentence(error: Exception, reason: str) -> None:
    """An operator need not know the exceptions of a database's client."""
    with pytest.raises(AuthorError) as raised:
        async with entered(Unreachable(error)):
            pass
    advice = "Check its URL, whether its server runs, and whether its user may write."
    sentence = f"The store of sessions cannot be used: {reason}. {advice}"
    assert str(raised.value) == sentence


class ReadOnly(MemoryStore):
    """A database whose user may only read."""

    durable = True

    async def write(self, session: str, epoch: int, changes: Changes, seconds: float) -> None:
        raise PermissionError("this user may not write")


async def test_a_store_that_cannot_be_written_is_reported_at_the_start() -> None:
    """Otherwise the first session would find out. To list and show sessions, no right to write is needed."""
    with pytest.raises(AuthorError, match=r"^The store of sessions cannot be used: this user may not write\. Check"):
        async with entered(ReadOnly(), to_write=True):
            pass
    async with entered(ReadOnly()) as store:
        assert await store.sessions() == []


async def test_the_trial_of_a_store_leaves_nothing(tmp_path: Path) -> None:
    """A record would be a session in the list of the operator."""
    async with entered(SQLiteStore(tmp_path / "sessions.db"), to_write=True) as store:
        assert await store.sessions() == []


class Full(SQLiteStore):
    """A file on a full disk. SQLite itself rolls the transaction back."""

    def _write_all(self, batch: Sequence[Any], db: sqlite3.Connection) -> Mapping[int, Exception]:
        db.execute("ROLLBACK")
        raise sqlite3.OperationalError("database or disk is full")


async def test_a_full_disk_is_named(tmp_path: Path) -> None:
    """A second rollback would raise another error, which does not help."""
    async with Full(tmp_path / "sessions.db") as store:
        with pytest.raises(sqlite3.OperationalError, match="disk is full"):
            await store.write("s", 1, {OWNER: "here"}, 60)


async def test_a_bot_may_change_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path names the file that was opened."""
    monkeypatch.chdir(tmp_path)
    async with SQLiteStore("s.db") as store:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        await store.write("s", 1, {OWNER: "a"}, 60.0)
        assert await store.owner("s") == "a"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows removes no file that is open")
@pytest.mark.parametrize("replaced", [False, True])
async def test_a_file_that_is_removed_under_a_server_fails_its_writes(tmp_path: Path, replaced: bool) -> None:
    """What is written to a file without a name is lost with the process, so it must not count as saved."""
    path = tmp_path / "s.db"
    async with SQLiteStore(path) as store:
        await store.write("s", 1, {OWNER: "a"}, 60.0)
        path.rename(tmp_path / "old.db")
        if replaced:
            path.touch()
        for _ in range(2):
            with pytest.raises(OSError, match=r"s\.db was removed or replaced while it was in use; start the server"):
                await store.write("s", 1, {"k": "v"}, 60.0)
        (tmp_path / "old.db").replace(path)
        await store.write("s", 1, {"k": "v"}, 60.0)


async def test_a_wrong_token_waits_for_nobody_and_delays_nobody(tmp_path: Path) -> None:
    """A client that guesses tokens needs no lock of the file."""
    async with SQLiteStore(tmp_path / "s.db") as store:
        await store.write("s", 1, {OWNER: "one", "token/1": "1"}, 60)
        with closing(sqlite3.connect(tmp_path / "s.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with anyio.fail_after(5):
                assert await store.claim("s", "two", "token/2") is None
                assert await store.claim("t", "two", "token/1") is None
            other.execute("ROLLBACK")
        assert await store.claim("s", "two", "token/1") is not None


async def test_what_an_operator_deletes_leaves_the_files_at_once(tmp_path: Path) -> None:
    """This includes the write-ahead log, also while other processes use the file. Replaced texts are removed too."""
    path = tmp_path / "sessions.db"
    async with SQLiteStore(path) as store, SQLiteStore(path) as other:
        for number in range(100):
            await store.write("a", 1, {OWNER: "one", f"m/{number}": f"marmalade {number}"}, 60)
            await other.write("b", 1, {OWNER: "one", f"m/{number}": f"toast {number}"}, 60)
        await store.write("a", 1, {f"m/{number}": "tea" for number in range(50)}, 60)
        assert b"marmalade" in _contents(tmp_path)
        await other.forget("a")
        assert b"marmalade" not in _contents(tmp_path)
        assert b"toast" in _contents(tmp_path)


def _contents(folder: Path) -> bytes:
    """The contents of the files in a folder."""
    return b"".join(each.read_bytes() for each in folder.iterdir())
