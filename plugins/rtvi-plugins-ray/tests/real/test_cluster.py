"""Two nodes of Ray on this machine: placement, a node that is killed, a front end that is killed, and scaling."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
import ray
from ray import serve
from ray.cluster_utils import Cluster

from rtvi_plugins.client import Client
from rtvi_plugins.hosting import Limits
from rtvi_plugins_client import connect
from rtvi_plugins_ray import build
from rtvi_plugins_ray.serving import Settings

#: Ray leaves sockets open, and warns about itself.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]

BOT = str(Path(__file__).with_name("bot.py"))
log = logging.getLogger(__name__)

#: How long Ray may take for what it does in its own time, in seconds.
PATIENCE = 60.0
#: A dead node is noticed after a second and a half.
QUICK = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 3,
    "health_check_timeout_ms": 500,
}
#: How often a start and each action is measured.
STARTS, ACTIONS = 60, 250

_Ray: Any = ray
_Serve: Any = serve


@pytest.fixture(scope="module")
def cluster() -> Generator[tuple[Any, str]]:
    """A cluster of two nodes with one processor each, and the address of its front ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    node = {"num_cpus": 1, "object_store_memory": 100_000_000}
    nodes: Any = Cluster(
        initialize_head=True, head_node_args={**node, "include_dashboard": False, "_system_config": QUICK}
    )
    nodes.add_node(**node)
    nodes.wait_for_nodes()
    _Ray.init(address=nodes.address, namespace="rtvi", log_to_driver=False, logging_level="ERROR")
    try:
        _Serve.start(http_options={"host": "127.0.0.1", "port": port}, proxy_location="HeadOnly")
        yield nodes, f"http://127.0.0.1:{port}"
    finally:
        _Serve.shutdown()
        _Ray.shutdown()
        nodes.shutdown()


@asynccontextmanager
async def connected(url: str, count: int) -> AsyncGenerator[list[Client]]:
    """So many clients, each in a session."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(connect(url, resume_delay=0.0)) for _ in range(count)]


async def processes(clients: list[Client]) -> list[int]:
    """The process of each session."""
    found: list[int] = await asyncio.gather(*(each.action("bot:process", timeout=PATIENCE) for each in clients))
    return found


def family(node: Any) -> list[psutil.Process]:
    """All processes of a node."""
    roots = [psutil.Process(each.process.pid) for group in node.all_processes.values() for each in group]
    return [each for root in roots for each in (root, *root.children(recursive=True))]


def kill(found: list[psutil.Process]) -> None:
    """Kill processes."""
    for each in found:
        with suppress(psutil.NoSuchProcess):
            each.send_signal(signal.SIGKILL)


async def measure(url: str) -> None:
    """Log how long starts and actions take, with nobody else there. The actions of both nodes count."""
    starts, ready, took = list[float](), list[float](), dict[str, list[float]]()

    async def began(request: httpx2.Request) -> None:
        request.extensions["began"] = time.perf_counter()

    async def ended(response: httpx2.Response) -> None:
        if response.request.url.path == "/start":
            starts.append(time.perf_counter() - response.request.extensions["began"])

    async with httpx2.AsyncClient(event_hooks={"request": [began], "response": [ended]}) as http:
        for _ in range(STARTS):
            began_at = time.perf_counter()
            async with connect(url, http=http):
                ready.append(time.perf_counter() - began_at)
    async with connected(url, 4) as clients:
        for name in ("process", "count"):
            took[name] = found = list[float]()
            for client in clients:
                for _ in range(ACTIONS):
                    began_at = time.perf_counter()
                    await client.action(f"bot:{name}")
                    found.append(time.perf_counter() - began_at)
    for what, found in {"start": starts, "start to bot-ready": ready, **took}.items():
        found.sort()
        p50, p99 = (1e3 * found[int(part * len(found))] for part in (0.5, 0.99))
        log.warning("%s: %d times, p50 %.2f ms, p99 %.2f ms", what, len(found), p50, p99)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # nobody would set an event
            await asyncio.sleep(0.2)


def running(name: str = "workers") -> int:
    """How many workers or front ends run, as Ray says."""
    return int(dict(_Serve.status().applications["bot"].deployments[name].replica_states).get("RUNNING", 0))


def front_ends(node: Any) -> list[psutil.Process]:
    """Return the front ends on a node."""
    found = list[psutil.Process]()
    for each in family(node):
        with suppress(psutil.NoSuchProcess):
            if "bot:front" in " ".join(each.cmdline()):
                found.append(each)
    return found


def test_workers_are_as_many_as_the_sessions_need(cluster: tuple[Any, str]) -> None:
    """From one to three and back, and no session ends because of it."""
    _, url = cluster
    settings = Settings(address="http://127.0.0.1:{port}", listen="127.0.0.1", drain_seconds=60)
    _Serve.run(build(BOT, settings, workers=(1, 3), sessions=3, cpus=0.5, front_ends=1), name="bot", route_prefix="/")

    async def talk() -> None:
        async with connected(url, 1) as stays:
            async with connected(url, 7) as clients:
                await until(lambda: running() == 3)
                assert len(set(await processes(clients))) >= 1
            await until(lambda: running() == 1)
            assert await stays[0].action("bot:count") == 1

    asyncio.run(talk())


def test_sessions_outlive_a_node_and_a_front_end(cluster: tuple[Any, str], tmp_path: Path) -> None:
    """They are placed evenly. When a node is killed, its sessions go on at the other one, with their state."""
    nodes, url = cluster
    limits = Limits(unclaimed=512, unclaimed_per_address=512)
    settings = Settings(
        store=str(tmp_path / "sessions.db"),
        address="http://127.0.0.1:{port}",
        listen="127.0.0.1",
        limits=limits,
        drain_seconds=1,
    )
    _Serve.run(build(BOT, settings, per_node=1, cpus=0.5), name="bot", route_prefix="/")

    async def talk() -> None:
        await measure(url)
        async with connected(url, 40) as clients:
            before = await processes(clients)
            counts = Counter(before)
            assert len(counts) == 2
            assert min(counts.values()) >= 16  # each front end has reports of its own, half a second old
            assert [await each.action("bot:count") for each in clients] == [1] * 40

            doors = [front_ends(each) for each in (nodes.head_node, *nodes.worker_nodes)]
            assert [len(each) for each in doors] == [1, 1]
            killed = time.monotonic()
            kill(doors[0])
            assert await processes(clients) == before
            async with connect(url, timeout=PATIENCE) as another:
                log.warning("a start took %.2f s after a front end was killed", time.monotonic() - killed)
                assert await another.action("bot:process") in set(before)
            await until(lambda: len(front_ends(nodes.head_node)) == running("front") - 1 == 1)

            dead = family(next(iter(nodes.worker_nodes)))
            lost = {each.pid for each in dead}
            killed = time.monotonic()
            kill(dead)
            async with asyncio.timeout(15):
                after = await processes(clients)
            took = time.monotonic() - killed
            assert set(after) == set(before) - lost
            log.warning(
                "%d sessions were back %.1f s after their node was killed",
                before.count(next(iter(set(before) - set(after)))),
                took,
            )
            assert [await each.action("bot:count") for each in clients] == [2] * 40

    asyncio.run(talk())
