"""The store. A session is one hash, so that a cluster keeps it on one node. Scripts check its epoch where it is.

The client of Redis works in threads: so the store runs on asyncio and on trio, and never blocks the event loop.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final, Self, TypeVar, cast

import anyio
import anyio.to_thread
import redis
from attrs import frozen

from rtvi_plugins.resuming import OWNER, BatchWriter, Changes, Fenced, Saved

__all__ = ("RedisStore",)

T = TypeVar("T")
#: Its types are partly unknown.
_Redis: Any = redis.Redis

#: KEYS: the hash. ARGV: the epoch, milliseconds to live, whether it may be created, how many texts are put, names and
#: texts in turns, names that go.
_WRITE: Final = """
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch and ARGV[3] == '1' then
    redis.call('HSET', KEYS[1], 'epoch', '1')
    epoch = '1'
end
if epoch ~= ARGV[1] then return 0 end
local last = 4 + 2 * tonumber(ARGV[4])
for i = 5, last, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
for i = last + 1, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
#: KEYS: the hash. ARGV: the name of the owner, the owner, the name of the proof.
_CLAIM: Final = """
if redis.call('HEXISTS', KEYS[1], ARGV[3]) == 0 then return false end
redis.call('HINCRBY', KEYS[1], 'epoch', 1)
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return redis.call('HGETALL', KEYS[1])
"""
#: KEYS: the hash. ARGV: the epoch, or nothing for any.
_FORGET: Final = """
if ARGV[1] == '' or redis.call('HGET', KEYS[1], 'epoch') == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""
#: Before the name of each text: `epoch` is not a text of the session.
_TEXT: Final = "t:"
#: How long the server may take to answer, in seconds.
_TIMEOUT: Final = 5.0
#: How many writes share a round trip. How many other calls are under way at once: when a machine has died,
#: hundreds of sessions are claimed, and each would open a connection.
_BATCH, _CALLS = 500, 16
#: How many keys the server looks at in one step when sessions are listed.
_SCANNED: Final = 1000


@frozen
class _Write:
    session: str
    epoch: int
    changes: Changes
    seconds: float


class RedisStore:
    """Records in Redis or Valkey, which several machines may share. `url` is as in `"redis://10.0.0.5:6379/0"`.

    Keys begin with `prefix`. A write is as durable as the server makes it: with Redis' default, the last second is lost
    if the server dies. For every write, set `appendfsync always` and use a replica.
    """

    durable = True

    def __init__(self, url: str, *, prefix: str = "rtvi:session:") -> None:
        # `valkey://` is not known to the client, and is the same.
        address = f"redis{url.removeprefix('valkey')}" if url.startswith("valkey") else url
        timeouts = {"socket_timeout": _TIMEOUT, "socket_connect_timeout": _TIMEOUT}
        self._redis = _Redis.from_url(address, decode_responses=True, **timeouts)
        self._prefix = prefix
        self._write_script: Any = self._redis.register_script(_WRITE)
        self._claim_script: Any = self._redis.register_script(_CLAIM)
        self._forget_script: Any = self._redis.register_script(_FORGET)
        self._writing = anyio.CapacityLimiter(1)
        self._calling = anyio.CapacityLimiter(_CALLS)
        self._writer = BatchWriter(self._write_batch, most=_BATCH)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._in_thread(self._redis.ping)  # an address that is wrong is reported here, and not by a session
        await self._stack.enter_async_context(self._writer.running())
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()
        with anyio.CancelScope(shield=True):
            await self._in_thread(self._redis.close)

    async def write(self, session: str, epoch: int, changes: Changes, seconds: float) -> None:
        await self._writer.write(_Write(session, epoch, dict(changes), seconds))

    async def claim(self, session: str, owner: str, proof: str) -> Saved | None:
        names = [_TEXT + OWNER, owner, _TEXT + proof]
        found = await self._in_thread(partial(self._claim_script, keys=[self._key(session)], args=names))
        if not found:
            return None
        fields = dict(zip(found[::2], found[1::2], strict=True))
        return Saved(session, int(fields["epoch"]), _texts(fields))

    async def owner(self, session: str) -> str | None:
        found = await self._in_thread(partial(self._redis.hget, self._key(session), _TEXT + OWNER))
        return cast("str | None", found)

    async def forget(self, session: str, epoch: int | None = None) -> None:
        args = ["" if epoch is None else epoch]
        await self._in_thread(partial(self._forget_script, keys=[self._key(session)], args=args))

    async def sessions(self) -> Sequence[str]:
        return await self._in_thread(self._sessions)

    async def read(self, session: str, keys: Collection[str] | None = None) -> Mapping[str, str] | None:
        return await self._in_thread(partial(self._read, session, keys))

    def _key(self, session: str) -> str:
        return f"{self._prefix}{session}"

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(function, limiter=self._calling)

    def _sessions(self) -> Sequence[str]:
        pattern = re.sub(r"([\\*?\[\]])", r"\\\1", self._prefix) + "*"
        # A key may come twice while the server rehashes.
        return list({str(key).removeprefix(self._prefix) for key in self._redis.scan_iter(pattern, count=_SCANNED)})

    def _read(self, session: str, keys: Collection[str] | None) -> Mapping[str, str] | None:
        if keys is None:
            whole = self._redis.hgetall(self._key(session))
            return _texts(whole) if whole else None
        names = ["epoch", *(_TEXT + key for key in keys)]
        found = dict(zip(names, self._redis.hmget(self._key(session), names), strict=True))
        return None if found["epoch"] is None else _texts(found)

    async def _write_batch(self, batch: Sequence[_Write]) -> Mapping[int, Exception]:
        return await anyio.to_thread.run_sync(self._write_all, batch, limiter=self._writing)

    def _write_all(self, batch: Sequence[_Write]) -> Mapping[int, Exception]:
        pipe = self._redis.pipeline(transaction=False)
        for each in batch:
            self._write_script(keys=[self._key(each.session)], args=_arguments(each), client=pipe)
        # A write that the server refuses, such as one that is too large, says nothing about the others.
        done: list[Any] = pipe.execute(raise_on_error=False)
        return {
            index: found if isinstance(found, Exception) else Fenced(batch[index].session)
            for index, found in enumerate(done)
            if isinstance(found, Exception) or not found
        }


def _texts(fields: Mapping[str, str | None]) -> dict[str, str]:
    """Return the texts of a session among the fields of its hash."""
    found = {name.removeprefix(_TEXT): text for name, text in fields.items() if name.startswith(_TEXT)}
    return {name: text for name, text in found.items() if text is not None}


def _arguments(write: _Write) -> list[str | int]:
    put = {name: text for name, text in write.changes.items() if text is not None}
    gone = [_TEXT + name for name, text in write.changes.items() if text is None]
    creates = write.epoch == 1 and put.get(OWNER) is not None
    pairs = [word for name, text in put.items() for word in (_TEXT + name, text)]
    return [write.epoch, int(write.seconds * 1000), int(creates), len(put), *pairs, *gone]
