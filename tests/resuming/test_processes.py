"""Real server processes are killed, stopped or restarted. The real client resumes by itself."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import httpx2
import pytest

from rtvi_plugins_client import connect

from ..tools.databases import store_in
from .killing import LoadBalancer, Servers, kill_and_resume
from .raw import Raw

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True, scope="module"),
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals"),
]

KILLS, SESSIONS = int(os.environ.get("SOAK_KILLS", "2")), 20

log = logging.getLogger(__name__)


@pytest.fixture
async def make_client() -> AsyncGenerator[Callable[[], Raw]]:
    """Makes clients without our library. Their sockets are closed at the end."""
    made: list[Raw] = []

    def make() -> Raw:
        made.append(Raw())
        return made[-1]

    yield make
    for each in made:
        await each.close()


#: In CI the store is encrypted only in other tests.
STORES = ["sqlite", "redis", "postgres", *(["encrypted sqlite"] if KILLS > 2 else [])]


@pytest.mark.parametrize("store", STORES)
async def test_killed_processes_lose_nothing_and_do_nothing_twice(tmp_path: Path, store: str) -> None:
    """Under load, each effect happens at most once, an acknowledged one exactly once. Each request has one answer."""
    with store_in(tmp_path, store) as place:
        encrypted = store.startswith("encrypted")
        outcome = await kill_and_resume(tmp_path, KILLS, SESSIONS, store=place, encrypted=encrypted)
    log.warning(
        "%s: %d kills x %d sessions, %d answers, %d unknown, %d sent again; kill to bot-ready p50 %.0f, p99 %.0f ms",
        *(store, KILLS, SESSIONS, outcome.answers, outcome.unknown, outcome.resent),
        *(outcome.percentile(0.5), outcome.percentile(0.99)),
    )
    assert outcome.done_twice == 0
    assert outcome.acknowledged_and_lost == 0
    assert outcome.second_answers == 0
    assert outcome.sessions_that_differ == 0
    assert len(outcome.resumes) == KILLS * SESSIONS
    assert outcome.answers > KILLS * SESSIONS * 5


async def test_a_process_that_only_seemed_dead_does_nothing_more(
    tmp_path: Path, make_client: Callable[[], Raw]
) -> None:
    """SIGSTOP, a resume elsewhere, SIGCONT: the requests in its sockets have no effect, and it closes with 1012."""
    with Servers.in_folder(tmp_path) as servers:
        live, spare = servers.start(), servers.start()
        clients = [make_client() for _ in range(5)]
        old = [await each.start(live.port) for each in clients]
        for number, each in enumerate(clients):
            await each.call("book", f"a-{number}", name=f"before-{number}")
            await each.until("action-response", f"a-{number}")
        live.signal(signal.SIGSTOP)
        for number, each in enumerate(clients):
            await each.call("book", f"b-{number}", name=f"during-{number}")
        for number, each in enumerate(clients):
            await each.resume(spare.port, waiting=[f"b-{number}"], received=3)
            assert (await each.until("error-response", f"b-{number}"))["code"] == "not-received"
            await each.call("book", f"b-{number}", name=f"during-{number}")
            await each.until("action-response", f"b-{number}")
        live.signal(signal.SIGCONT)
        for socket in old:
            await asyncio.wait_for(socket.wait_closed(), 30)
        assert [each.close_code for each in old] == [1012] * 5
        done = servers.done()
        assert len(done) == 10
        assert set(done.values()) == {1}


async def test_a_silent_network_is_noticed(tmp_path: Path) -> None:
    """A machine without power closes no connection. The client's pings notice it, and it resumes in seconds."""
    with Servers.in_folder(tmp_path) as servers:
        live, spare = servers.start(), servers.start()
        balancer = LoadBalancer(live.port)
        async with (
            httpx2.AsyncClient(transport=balancer) as http,
            connect(f"http://127.0.0.1:{live.port}", http=http, resume_delay=0.0) as client,
        ):
            await client.action("bot:book", name="a")
            live.signal(signal.SIGSTOP)
            balancer.port = spare.port
            assert await client.action("bot:book", name="b", timeout=8) == "booked b"
        assert servers.done() == {"a": 1, "b": 1}


async def test_a_release_loses_no_session(tmp_path: Path) -> None:
    """After SIGTERM, a new process uses the same store. The client continues, and its data is right."""
    with Servers.in_folder(tmp_path) as servers:
        live = servers.start()
        balancer = LoadBalancer(live.port)
        async with (
            httpx2.AsyncClient(transport=balancer) as http,
            connect(f"http://127.0.0.1:{live.port}", http=http, resume_delay=0.0) as client,
        ):
            await client.update_config({"llm": {"name": "Ada"}})
            spare = servers.start()
            balancer.port = spare.port
            live.signal(signal.SIGTERM)
            assert live.process.wait(30) == 0
            assert await client.action("bot:book", name="a") == "booked a"
            assert (await client.get_config()).values["llm"]["name"] == "Ada"
        assert servers.done() == {"a": 1}


async def test_an_answer_starts_over_in_the_next_process(tmp_path: Path, make_client: Callable[[], Raw]) -> None:
    """A process is killed in the middle of an answer. The next one answers the same question from the beginning."""
    with Servers.in_folder(tmp_path) as servers:
        live, spare = servers.start(), servers.start()
        client = make_client()
        await client.start(live.port, {"config": {"llm": {"words_per_second": 5}}})
        await client.send("send-text", {"content": "Who are you?"}, "t")
        await client.until("bot-llm-text")
        live.signal(signal.SIGKILL)
        await client.resume(spare.port, waiting=[], received=0)
        await asyncio.wait_for(client.until("bot-llm-stopped"), 30)
        texts = [each["data"]["text"] for each in client.received if each["type"] == "bot-llm-text"]
        assert texts[0] == texts[1]
        await client.send("action", {"service": "llm", "action": "get_context", "arguments": []}, "c")
        messages = (await client.until("action-response", "c"))["result"]["messages"]
        assert [each["role"] for each in messages] == ["user", "assistant"]
        assert messages[1]["content"] == "".join(texts[1:]).strip()


async def test_ask_returns_the_whole_answer_of_the_next_process(tmp_path: Path) -> None:
    """It does not return the beginning twice."""
    with Servers.in_folder(tmp_path) as servers:
        live, spare = servers.start(), servers.start()
        balancer = LoadBalancer(live.port)
        async with (
            httpx2.AsyncClient(transport=balancer) as http,
            connect(
                f"http://127.0.0.1:{live.port}",
                http=http,
                resume_delay=0.0,
                config={"llm": {"words_per_second": 10}},
            ) as client,
        ):
            answer = client.ask("Who are you?")
            first = await anext(answer)
            balancer.port = spare.port
            live.signal(signal.SIGKILL)
            whole = await answer
            assert whole.startswith(first)
            messages = (await client.action("llm:get_context"))["messages"]
            assert [each["content"] for each in messages] == ["Who are you?", whole.strip()]


async def test_who_closes_the_socket_has_left(tmp_path: Path, make_client: Callable[[], Raw]) -> None:
    """With code 1000, the session ends at once. If a socket is only lost, the session waits for a while."""
    with Servers.in_folder(tmp_path) as servers:
        live = servers.start()
        leaving, lost = make_client(), make_client()
        socket = await leaving.start(live.port)
        await socket.close(1000)
        socket = await lost.start(live.port)
        socket.transport.abort()
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{live.port}") as http:
            for raw, status in ((leaving, 401), (lost, 200)):
                assert (await http.post("/start", json={"resume": raw.token})).status_code == status


async def test_a_worker_keeps_its_sessions(tmp_path: Path, make_client: Callable[[], Raw]) -> None:
    """All workers have one port. A client that resumes reaches the worker with its session."""
    with Servers.in_folder(tmp_path) as servers:
        server = servers.start("--workers", "2")
        clients = [make_client() for _ in range(4)]
        for each in clients:
            await each.start(server.port)
        workers = [each.worker for each in clients]
        assert sorted(set(workers)) == ["w0", "w1"]
        for number, each in enumerate(clients):
            await each.call("slow", f"s-{number}", name=f"slow-{number}")
            each.socket.transport.abort()
            await each.resume(server.port, waiting=[f"s-{number}"], received=1)
            assert (await each.until("action-response", f"s-{number}")) == {"result": f"slow slow-{number}"}
        assert [each.worker for each in clients] == workers
        assert set(servers.done().values()) == {1}
