"""Kill a server process under load, several times. Its sessions continue in another process that shares its store."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx2
from attrs import define, field

from rtvi_plugins.client import Client
from rtvi_plugins.errors import OutcomeUnknown
from rtvi_plugins_client import connect

from ..tools.patience import PATIENCE
from ..tools.processes import environment

__all__ = ("LoadBalancer", "Outcome", "Servers", "Watcher", "kill_and_resume")

BOT = Path(__file__).with_name("shop.py")


@define
class Server:
    """A server process, and its address."""

    process: subprocess.Popen[bytes]
    port: int

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it."""
        self.process.send_signal(number)


@define
class Servers:
    """Server processes that share a store."""

    folder: Path
    #: A file or a URL; None is a file in the folder.
    store: str | None = None
    bot: Path = BOT
    #: More options and variables of the processes.
    options: Sequence[str] = ()
    environ: Mapping[str, str] = {}
    running: list[Server] = field(factory=list[Server])

    @property
    def ledger(self) -> Path:
        """The file with one line for each effect."""
        return self.folder / "ledger"

    def start(self, *options: str) -> Server:
        """Start a process, and wait until it serves."""
        command = [sys.executable, "-m", "rtvi_plugins", "run", self.bot, "--port", "0", "--log-level", "error"]
        command += ["--resume", self.store or self.folder / "sessions.db", "--drain-seconds", "0"]
        limits = ["rate=1000000", "burst=1000000", "unclaimed=500", "unclaimed_per_address=500"]
        command += [each for limit in limits for each in ("--limit", limit)]
        command += [*self.options, *options]
        env = environment(LEDGER=str(self.ledger), PYTHONUNBUFFERED="1", **self.environ)
        process = subprocess.Popen(list(map(str, command)), env=env, stdout=subprocess.PIPE)
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        port = int(line.partition("http://127.0.0.1:")[2].partition(" ")[0])
        server = Server(process, port)
        self.running.append(server)
        return server

    def end(self, server: Server) -> None:
        """Kill a process, and remove it."""
        self.running.remove(server)
        server.process.kill()
        server.process.wait(PATIENCE)
        assert server.process.stdout is not None
        server.process.stdout.close()

    def done(self) -> Counter[str]:
        """How often each effect has happened."""
        return Counter(self.ledger.read_text().split("\n")[:-1]) if self.ledger.exists() else Counter()

    @classmethod
    @contextlib.contextmanager
    def in_folder(cls, folder: Path, store: str | None = None, bot: Path = BOT) -> Generator[Servers]:
        """Servers that end with the block."""
        servers = cls(folder, store, bot)
        try:
            yield servers
        finally:
            for each in list(servers.running):
                servers.end(each)


class LoadBalancer(httpx2.AsyncBaseTransport):
    """A load balancer in this process. It sends each start to the process that is alive."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._to = httpx2.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request to the process."""
        if request.url.path == "/start":
            request.url = request.url.copy_with(port=self.port)
            request.headers["host"] = f"127.0.0.1:{self.port}"
        return await self._to.handle_async_request(request)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._to.aclose()


@define(eq=False)
class Watcher:
    """Sees each text that any client receives. It notes when bots are ready, and second answers to a request."""

    ready: list[float] = field(factory=list[float])
    answers: Counter[tuple[int, str]] = field(factory=Counter[tuple[int, str]])
    unknown: int = 0
    resent: int = 0
    _changed: anyio.Event = field(factory=anyio.Event)

    @contextlib.contextmanager
    def watching(self) -> Generator[None]:
        """Watch all clients during the block."""
        original: Any = Client._take_message  # pyright: ignore[reportPrivateUsage]
        watcher = self

        def take(client: Client, text: str) -> None:
            watcher._see(client, text)
            original(client, text)

        Client._take_message = take  # type: ignore[method-assign, assignment]  # pyright: ignore[reportPrivateUsage]
        try:
            yield
        finally:
            Client._take_message = original  # type: ignore[method-assign]  # pyright: ignore[reportPrivateUsage]

    async def until_ready(self, count: int) -> None:
        """Wait until this number of `bot-ready` has come in all."""
        with anyio.fail_after(PATIENCE):
            while len(self.ready) < count:
                self._changed = anyio.Event()
                await self._changed.wait()

    def _see(self, client: Client, text: str) -> None:
        message: Any = json.loads(text)
        data: Any = message.get("data") or {}
        request, code = message.get("id"), data.get("code")
        if message["type"] == "bot-ready":
            self.ready.append(time.perf_counter())
            self._changed.set()
        elif code == "not-received":
            self.resent += 1
        elif isinstance(request, str) and request.startswith("request-"):
            self.unknown += code == OutcomeUnknown.code
            self.answers[id(client), request] += 1

    @property
    def second_answers(self) -> int:
        """The number of requests that got a second answer."""
        return sum(count > 1 for count in self.answers.values())


@define
class Outcome:
    """The result of a run."""

    answers: int = 0
    unknown: int = 0
    resent: int = 0
    done_twice: int = 0
    acknowledged_and_lost: int = 0
    second_answers: int = 0
    sessions_that_differ: int = 0
    #: From the kill to each `bot-ready`, in seconds, in order.
    resumes: list[float] = field(factory=list[float])

    def percentile(self, part: float) -> float:
        """The time within which this share of the sessions was back, in milliseconds."""
        return 1e3 * self.resumes[min(len(self.resumes) - 1, int(part * len(self.resumes)))]


@define(eq=False)
class Guest:
    """One client under load, with the answers that it has received."""

    client: Client
    name: str
    random: random.Random
    acknowledged: list[str] = field(factory=list[str])
    notes: list[str] = field(factory=list[str])
    named: str = ""
    revision: int = 1

    async def be_busy(self, stop: anyio.Event) -> None:
        """Send requests without end: actions with an effect outside, config changes, additions to the conversation."""
        number = 0
        while not stop.is_set():
            number += 1
            await self._ask(f"{self.name}-{number}", self.random.random())
            await anyio.sleep(self.random.random() * 0.02)

    async def _ask(self, name: str, kind: float) -> None:
        client = self.client
        try:
            if kind < 0.6:
                await client.action("bot:book", name=name, timeout=30)
                self.acknowledged.append(name)
            elif kind < 0.7:
                await client.action("bot:slow", name=name, timeout=30)
                self.acknowledged.append(name)
            elif kind < 0.9:
                state = await client.update_config({"llm": {"name": name}}, timeout=30)
                self.named, self.revision = name, state.revision or 0
            else:
                await client.action("llm:append_to_messages", messages=[{"role": "user", "content": name}], timeout=30)
                self.notes.append(name)
        except OutcomeUnknown:
            pass

    async def differs(self) -> bool:
        """Whether the session has lost something that it had acknowledged."""
        state = await self.client.get_config()
        context = (await self.client.action("llm:get_context"))["messages"]
        kept = [each["content"] for each in context if str(each["content"]).startswith(f"{self.name}-")]
        return state.values["llm"]["name"] != self.named or (state.revision or 0) < self.revision or kept != self.notes


@contextlib.asynccontextmanager
async def guests(balancer: LoadBalancer, count: int, seed: int) -> AsyncGenerator[list[Guest]]:
    """Connect this number of clients."""
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx2.AsyncClient(transport=balancer))
        found: list[Guest] = []
        for number in range(count):
            way = connect(f"http://127.0.0.1:{balancer.port}", http=http, resume_delay=0.0)
            client = await stack.enter_async_context(way)
            found.append(Guest(client, f"g{number}", random.Random(f"{seed}-{number}")))
        yield found


def _new_key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


async def kill_and_resume(
    folder: Path, kills: int, sessions: int, *, store: str | None = None, seed: int = 1, encrypted: bool = False
) -> Outcome:
    """Kill the process of all sessions so many times, and return what came of it.

    With `encrypted`, the store is encrypted, and the history of the sessions is kept.
    """
    with Servers.in_folder(folder, store) as servers:
        if encrypted:
            servers.options, servers.environ = ["--keep-days", "1"], {"RTVI_STORE_KEY": _new_key()}
        live, spare = servers.start(), servers.start()
        balancer, watcher, outcome, stop = LoadBalancer(live.port), Watcher(), Outcome(), anyio.Event()
        with watcher.watching():
            async with guests(balancer, sessions, seed) as clients:
                async with anyio.create_task_group() as tasks:
                    for each in clients:
                        tasks.start_soon(each.be_busy, stop)
                    chance = random.Random(seed)
                    for _ in range(kills):
                        await anyio.sleep(0.3 + 0.7 * chance.random())
                        before, killed = len(watcher.ready), time.perf_counter()
                        balancer.port = spare.port
                        live.signal(signal.SIGKILL)
                        await watcher.until_ready(before + sessions)
                        outcome.resumes += [each - killed for each in watcher.ready[before:]]
                        await anyio.to_thread.run_sync(servers.end, live)
                        live, spare = spare, await anyio.to_thread.run_sync(servers.start)
                    await anyio.sleep(0.5)
                    stop.set()
                outcome.sessions_that_differ = sum([await each.differs() for each in clients])
        done = servers.done()
    return _count(outcome, watcher, clients, done)


def _count(outcome: Outcome, watcher: Watcher, clients: list[Guest], done: Counter[str]) -> Outcome:
    outcome.resumes.sort()
    outcome.answers, outcome.unknown, outcome.resent = watcher.answers.total(), watcher.unknown, watcher.resent
    outcome.done_twice = sum(count > 1 for count in done.values())
    outcome.acknowledged_and_lost = sum(not done[name] for each in clients for name in each.acknowledged)
    outcome.second_answers = watcher.second_answers
    return outcome
