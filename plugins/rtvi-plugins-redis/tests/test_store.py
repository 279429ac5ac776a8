"""The store, on a real Redis."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import anyio
import pytest
import redis
from redis_server import client_of, free_port, serving

from rtvi_plugins.encrypted_store import EncryptedStore
from rtvi_plugins.errors import AuthorError
from rtvi_plugins.resuming import OWNER, Fenced
from rtvi_plugins.session import Secret
from rtvi_plugins.stores import entered
from rtvi_plugins.testing import check_store
from rtvi_plugins_redis import RedisStore

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_it_keeps_its_promises(url: str) -> None:
    """This includes the promises about stores of several processes."""
    await check_store(lambda: RedisStore(url))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_rights_in_the_readme_are_enough_and_needed(url: str) -> None:
    """A user who may only read is refused at the start."""
    readme = " ".join((Path(__file__).parents[1] / "README.md").read_text("utf-8").split())
    rights = readme.partition("ACL SETUSER bots on >PASSWORD ")[2].partition("`")[0].split()
    with client_of(url) as client:
        client.execute_command("ACL", "SETUSER", "bots", "reset", "on", ">password", *rights)
        client.execute_command("ACL", "SETUSER", "reader", "reset", "on", ">password", *rights, "-hset")
    own, reading = (url.replace("//", f"//{name}:password@") for name in ("bots", "reader"))
    await check_store(lambda: RedisStore(own), expires=False)
    async with entered(RedisStore(own), to_write=True):
        pass
    with pytest.raises(AuthorError, match=r"^The store of sessions cannot be used: "):
        async with entered(RedisStore(reading), to_write=True):
            pass
    async with entered(RedisStore(reading)) as store:
        await store.sessions()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_encrypted_store_has_no_text(tmp_path: Path) -> None:
    """Neither the server nor its file has any. The store keeps its promises. Without a key, the text is there."""
    keys = [Secret(base64.b64encode(os.urandom(32)).decode())]
    with serving(tmp_path, free_port()) as url, client_of(url) as client:
        await check_store(lambda: EncryptedStore(RedisStore(url), keys), expires=False)
        async with EncryptedStore(RedisStore(url), keys) as store:
            await store.write("s", 1, {OWNER: "here", "m/0": "marmalade"}, 60)
            assert not any("marmalade" in str(client.hgetall(key)) for key in client.scan_iter())
            assert "m/0" in str(client.hgetall("rtvi:session:s"))
        assert b"marmalade" not in contents(tmp_path)
        async with RedisStore(url) as store:
            await store.write("t", 1, {OWNER: "here", "m/0": "marmalade"}, 60)
            assert "marmalade" in str(client.hgetall("rtvi:session:t"))
    assert b"marmalade" in contents(tmp_path)


def contents(folder: Path) -> bytes:
    """Return the content of a server's files."""
    return b"".join(each.read_bytes() for each in folder.rglob("*") if each.is_file())


async def test_sessions_are_listed_whatever_the_prefix_is(url: str) -> None:
    """The prefix is not a pattern, and not a part of another prefix."""
    async with RedisStore(url, prefix="a[*]?\\:") as store, RedisStore(url, prefix="a[*]?\\:b:") as other:
        await store.write("s", 1, {OWNER: "one"}, 30)
        assert await store.sessions() == ["s"]
        assert await other.sessions() == []


async def test_a_session_is_one_key_that_expires(url: str) -> None:
    """So a cluster keeps it on one node, and nothing of it stays after its end."""
    async with RedisStore(url, prefix="of-a-test:") as store:
        await store.write("s", 1, {OWNER: "one", "a": "1"}, 30)
        with client_of(url) as client:
            assert client.keys("of-a-test:*") == ["of-a-test:s"]
            assert 29_000 < int(str(client.pttl("of-a-test:s"))) <= 30_000
        await store.forget("s")
        assert await store.owner("s") is None


async def test_a_server_that_is_gone_is_a_failure_and_comes_back(tmp_path: Path) -> None:
    """A write fails. The next one succeeds when the server is back, and the earlier data is there."""
    port = free_port()
    with serving(tmp_path, port) as url:
        store = RedisStore(url)
        async with store:
            await store.write("s", 1, {OWNER: "one", "a": "1"}, 30)
            with client_of(url) as client:
                client.shutdown(nosave=True)
            with pytest.raises(redis.ConnectionError):
                await store.write("s", 1, {"a": "2"}, 30)
            with serving(tmp_path, port):
                await store.write("s", 1, {"b": "3"}, 30)
                saved = await store.claim("s", "two", "a")
                assert saved is not None
                assert (saved.epoch, saved.state) == (2, {OWNER: "two", "a": "1", "b": "3"})
                with pytest.raises(Fenced):
                    await store.write("s", 1, {"a": "4"}, 30)


async def test_a_write_that_the_server_refuses_fails_alone(url: str) -> None:
    """The writes of other sessions in the same batch succeed."""
    failed: list[str] = []
    with client_of(url) as client:
        client.set("refused:bad", "no hash")
    async with RedisStore(url, prefix="refused:") as store:

        async def write(session: str) -> None:
            try:
                await store.write(session, 1, {OWNER: "one"}, 30)
            except redis.ResponseError:
                failed.append(session)

        async with anyio.create_task_group() as tasks:
            for session in ("s1", "s2", "bad", "s3", "s4"):
                tasks.start_soon(write, session)
        assert failed == ["bad"]
        assert [await store.owner(f"s{number}") for number in range(1, 5)] == ["one"] * 4


async def test_an_address_without_a_server_is_reported_at_the_start() -> None:
    """Otherwise, the first session would report it."""
    with pytest.raises(redis.ConnectionError):
        async with RedisStore(f"valkey://127.0.0.1:{free_port()}/0"):
            pass
