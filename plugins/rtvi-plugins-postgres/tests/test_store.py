"""The store, on a real PostgreSQL."""

from __future__ import annotations

import base64
import os
import socket
from pathlib import Path

import anyio
import psycopg
import pytest

from rtvi_plugins.encrypted_store import EncryptedStore
from rtvi_plugins.errors import AuthorError
from rtvi_plugins.resuming import OWNER, Fenced
from rtvi_plugins.session import Secret
from rtvi_plugins.stores import open_store
from rtvi_plugins.testing import check_store
from rtvi_plugins_postgres import PostgresStore

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_it_keeps_its_promises(url: str) -> None:
    """This includes the promises about stores of several processes."""
    await check_store(lambda: PostgresStore(url))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_encrypted_store_has_no_text(url: str) -> None:
    """The write-ahead log has none either. The store keeps its promises. Without a key, the text is there."""
    keys = [Secret(base64.b64encode(os.urandom(32)).decode())]
    await check_store(lambda: EncryptedStore(PostgresStore(url), keys), expires=False)
    async with EncryptedStore(PostgresStore(url), keys) as store:
        await store.write("encrypted", 1, {OWNER: "here", "m/0": "marmalade"}, 60)
        assert b"marmalade" not in contents(url)
    async with PostgresStore(url) as store:
        await store.write("plain", 1, {OWNER: "here", "m/0": "marmalade"}, 60)
        assert b"marmalade" in contents(url)
        await store.forget("encrypted")
        await store.forget("plain")


def contents(url: str) -> bytes:
    """Return the content of the server's files: its tables and its log."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        found = connection.execute("SHOW data_directory").fetchone()
        assert found is not None
        data = Path(found[0])
        oid = connection.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()
        assert oid is not None
        files = [*(data / "base" / str(oid[0])).iterdir(), *(data / "pg_wal").iterdir()]
    return b"".join(each.read_bytes() for each in files if each.is_file())


async def test_a_write_that_the_server_refuses_fails_alone(url: str) -> None:
    """The writes of other sessions in the same transaction succeed."""
    failed: list[str] = []
    async with PostgresStore(url) as store:

        async def write(session: str, seconds: float) -> None:
            try:
                await store.write(session, 1, {OWNER: "one"}, seconds)
            except psycopg.DataError:
                failed.append(session)

        async with anyio.create_task_group() as tasks:
            for session, seconds in (("r1", 60), ("r2", 60), ("bad", 1e300), ("r3", 60), ("r4", 60)):
                tasks.start_soon(write, session, seconds)
        assert failed == ["bad"]
        for number in range(1, 5):
            assert await store.owner(f"r{number}") == "one"
            await store.forget(f"r{number}")


async def test_what_has_ended_is_removed(url: str) -> None:
    """When a store is opened, it removes the old records of all stores."""
    async with PostgresStore(url) as store:
        await store.write("old", 1, {OWNER: "one"}, 0.001)
        await store.write("new", 1, {OWNER: "one"}, 60)
    async with PostgresStore(url) as store:
        with anyio.fail_after(20), psycopg.connect(url, autocommit=True) as connection:
            while connection.execute("SELECT FROM rtvi.session WHERE id = 'old'").fetchone() is not None:
                await anyio.lowlevel.checkpoint()
        assert await store.owner("new") == "one"
        await store.forget("new")


async def test_a_lost_connection_is_a_failure_and_is_replaced(url: str) -> None:
    """The next write succeeds, and the record has the earlier data."""
    async with PostgresStore(url) as store:
        await store.write("s", 1, {OWNER: "one", "a": "1"}, 60)
        with psycopg.connect(url, autocommit=True) as connection:
            others = "FROM pg_stat_activity WHERE usename = 'bots' AND pid <> pg_backend_pid()"
            connection.execute(f"SELECT pg_terminate_backend(pid) {others}")
        with anyio.fail_after(20):
            while True:
                try:
                    await store.write("s", 1, {"b": "2"}, 60)
                    break
                except psycopg.OperationalError:
                    continue
        saved = await store.claim("s", "two", "a")
        assert saved is not None
        assert (saved.epoch, saved.state) == (2, {OWNER: "two", "a": "1", "b": "2"})
        with pytest.raises(Fenced):
            await store.write("s", 1, {"a": "4"}, 60)
        await store.forget("s", 2)


async def test_who_looks_something_up_waits_no_longer_than_they_want(url: str) -> None:
    """The server holds the connection for as long as another transaction locks the table."""
    async with PostgresStore(url) as store:
        await store.write("s", 1, {OWNER: "one"}, 60)
        with psycopg.connect(url) as connection:
            connection.execute("LOCK TABLE rtvi.session")
            with anyio.move_on_after(0.2) as scope:
                await store.read("s")
            assert scope.cancelled_caught
        assert await store.owner("s") == "one"
        await store.forget("s")


async def test_a_lost_connection_is_noticed_within_seconds(url: str) -> None:
    """By the network, unless the URL has other values."""
    for more, expected in (("", "5000"), ("?tcp_user_timeout=70000", "70000")):
        async with PostgresStore(url + more) as store:
            with store._pool.connection() as connection:  # pyright: ignore[reportPrivateUsage]
                found = connection.info.get_parameters()
            assert (found["tcp_user_timeout"], found["keepalives_idle"]) == (expected, "30")


async def test_a_schema_of_a_newer_release_is_refused(url: str) -> None:
    """A process that does not know the schema does not change it."""
    async with PostgresStore(url):
        pass
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE rtvi.version SET number = 99")
        try:
            with pytest.raises(ValueError, match="newer release, with version 99"):
                async with PostgresStore(url):
                    pass
        finally:
            connection.execute("UPDATE rtvi.version SET number = 1")


async def test_an_address_without_a_server_is_reported_at_the_start() -> None:
    """Otherwise, the first session would report it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(psycopg.OperationalError):
        async with PostgresStore(f"postgresql://bots@127.0.0.1:{port}/postgres"):
            pass


@pytest.mark.parametrize("password", ["marma%lade", "marma lade"])
async def test_a_password_that_is_not_encoded_is_not_shown(password: str) -> None:
    """The error says how to encode it."""
    with pytest.raises(AuthorError, match="In a user name or a password") as raised:
        open_store(f"postgresql://ada:{password}@127.0.0.1/bots", environ={})
    assert "lade" not in str(raised.value)
