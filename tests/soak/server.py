"""A server process that clients talk to, and that is observed from outside. It needs Linux."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx2
from attrs import define

from ..tools.gauges import Gauges, read_gauges
from ..tools.patience import PATIENCE
from ..tools.processes import environment, running
from .caller import calling, start

__all__ = ("Server", "let_threads_go", "quiet", "serving", "warm")

BOT = Path(__file__).with_name("companion.py")

#: A session that nobody claims ends after so many seconds.
UNCLAIMED_SECONDS = 3

#: anyio keeps an idle thread for 10 s, and lets go of those that are older when it next needs one.
_THREADS_SECONDS = 11.0


@define
class Server:
    """A server process. `said` is its output, once it has ended."""

    url: str
    pid: int
    said: str = ""

    def client(self) -> httpx2.AsyncClient:
        """Return a client of its HTTP endpoints that leaves no connection open."""
        return httpx2.AsyncClient(base_url=self.url, headers={"connection": "close"}, timeout=PATIENCE)

    def gauges(self) -> Gauges:
        """Return the resources that the process holds now."""
        return read_gauges(self.pid)


@contextmanager
def serving(*options: str) -> Generator[Server]:
    """Run a server process with the bot. `options` are added to those of `rtvi run`."""
    limit = ["--limit", f"unclaimed_seconds={UNCLAIMED_SECONDS}", "--log-level", "warning"]
    command = [sys.executable, "-m", "rtvi_plugins", "run", str(BOT), "--port", "0", *limit, *options]
    # With one arena for all threads, glibc gives back to the system most of what was freed.
    env = environment(PYTHONUNBUFFERED="1", MALLOC_ARENA_MAX="1")
    with running(command, r"(http://127\.0\.0\.1:\d+)", env=env) as process:
        server = Server(process.matched, process.pid)
        yield server
    server.said = process.said


async def warm(server: Server) -> Gauges:
    """Make it load what it loads only once. Return what it holds afterwards, without any session."""
    async with server.client() as http:
        await _chat(http)
    much = sys.maxsize
    return await quiet(server, Gauges(threads=much, children=0, files=much, sockets=much, memory_kib=much))


async def quiet(server: Server, before: Gauges) -> Gauges:
    """Return what it holds without sessions, as soon as that is not more than before, or after a time limit."""
    # From outside there is nothing to wait for but how it looks.
    clock = asyncio.get_running_loop().time
    deadline = clock() + PATIENCE
    async with server.client() as http:
        while (await http.get("/health")).json()["open_sessions"]:
            assert clock() < deadline, "sessions are still open"
            await asyncio.sleep(0.1)
    while server.gauges().more_than(before) and clock() < deadline:  # noqa: ASYNC110 - another process sets no event
        await asyncio.sleep(0.1)
    await asyncio.sleep(0.5)  # the last connection may be closing
    return server.gauges()


async def let_threads_go(server: Server) -> None:
    """Make it end the threads that it keeps for later work."""
    await asyncio.sleep(_THREADS_SECONDS)
    async with server.client() as http:
        await _chat(http)


async def _chat(http: httpx2.AsyncClient) -> None:
    """Run a whole session, in which a question is asked aloud and answered."""
    async with calling(await start(http)) as caller:
        await caller.ready()
        caller.say("what time is it")
        asked = await caller.inbox.find("user-llm-text")
        await caller.inbox.find("bot-stopped-speaking", after=asked)
