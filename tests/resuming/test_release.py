"""A release of new code under live calls: by `rtvi run --workers`, and behind a plain load balancer.

Each call has audio both ways, and books again and again. `nox -s soak` has 50 of them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from attrs import define, field

from ..tools.patience import PATIENCE
from ..tools.processes import environment, running
from .calls import Call, calling, http_client, newcomer
from .killing import Server, Servers

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True, scope="module"),
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals"),
]

CALLS = int(os.environ.get("SOAK_CALLS", "6"))
#: How long the old processes let the calls go on, in seconds.
DRAIN = 1
LINE = Path(__file__).with_name("line.py")
NGINX = Path(__file__).parents[1] / "tools" / "nginx.conf"

log = logging.getLogger(__name__)


@contextmanager
def released(folder: Path) -> Generator[Servers]:
    """Servers with the first version of the bot."""
    bot = folder / "line.py"
    shutil.copy(LINE, bot)
    with Servers.in_folder(folder, bot=bot) as servers:
        yield servers


def release(servers: Servers) -> None:
    """Install the second version of the bot."""
    first = servers.bot.read_text()
    assert first.count("VERSION = 1\n") == 1
    servers.bot.write_text(first.replace("VERSION = 1\n", "VERSION = 2\n"))


@define
class Newcomers:
    """Sessions that are started one after the other, each with its version."""

    url: str
    versions: list[int] = field(factory=list[int])

    async def come(self) -> None:
        """Start one session after the other."""
        async with http_client() as http:
            while True:
                self.versions.append(await newcomer(http, self.url, f"new-{len(self.versions)}"))
                await asyncio.sleep(0.1)


@asynccontextmanager
async def coming(url: str) -> AsyncGenerator[Newcomers]:
    """Newcomers during the block. A start that is refused fails the test."""
    async with asyncio.TaskGroup() as tasks:
        newcomers = Newcomers(url)
        task = tasks.create_task(newcomers.come())
        yield newcomers
        seen = len(newcomers.versions)
        await until(lambda: len(newcomers.versions) >= seen + 4)
        task.cancel()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # nobody would set an event
            await asyncio.sleep(0.05)


async def all_have_booked(calls: list[Call]) -> None:
    """Wait until each caller has heard its bot, and has booked once more."""
    before = [len(each.booked) for each in calls]
    await until(lambda: all(len(each.booked) > count + 1 for each, count in zip(calls, before, strict=True)))
    await until(lambda: all(each.frames > 5 for each in calls))


def check(servers: Servers, calls: list[Call], newcomers: Newcomers) -> None:
    """Check that nothing was lost, done twice or mixed up, and that the last newcomers got the new version."""
    done = servers.done()
    bookings = {name: found for each in calls for name, found in each.booked.items()}
    unknown = [name for name, found in bookings.items() if not isinstance(found, dict)]
    gaps = sorted(gap for each in calls for gap in each.gaps)
    closed = sum((each.closed for each in calls), Counter[int | None]())
    resent, new = sum(each.resent for each in calls), newcomers.versions
    log.warning(
        "%d calls, %d bookings, %d unknown, %d sent again, %d newcomers",
        *(len(calls), len(bookings), len(unknown), resent, len(new)),
    )
    log.warning(
        "interrupted %d times, p50 %.2f s, longest %.2f s; closed with %s",
        *(len(gaps), gaps[len(gaps) // 2], gaps[-1], {int(code or 0): count for code, count in closed.items()}),
    )
    assert unknown == []
    assert set(done) == {*bookings, *(f"new-{number}" for number in range(len(newcomers.versions)))}
    assert set(done.values()) == {1}
    for each in calls:
        assert [found["count"] for found in each.booked.values()] == [*range(1, len(each.booked) + 1)]
        versions = [found["version"] for found in each.booked.values()]
        assert versions == sorted(versions)
        assert set(each.answers.values()) == {1}
        assert each.samples == {each.number}
        assert each.heard == {each.number}
    assert set(newcomers.versions[-4:]) == {2}


async def test_new_workers_take_over_all_calls(tmp_path: Path) -> None:
    """After SIGHUP, calls continue with the old code, then with the new code. Newcomers get the new code early."""
    with released(tmp_path) as servers:
        front = servers.start("--workers", "2", "--drain-seconds", str(DRAIN), "--connections-per-address", "1000")
        url = f"http://127.0.0.1:{front.port}"
        async with calling(url, CALLS) as calls, coming(url) as newcomers:
            await all_have_booked(calls)
            old = {each.process for each in calls}
            assert len(old) == 2
            release(servers)
            front.signal(signal.SIGHUP)
            await until(lambda: all(each.version == 2 for each in calls))
            await all_have_booked(calls)
            assert len({each.process for each in calls} - old) == 2
        check(servers, calls, newcomers)


# ---- two processes behind a load balancer --------------------------------------------------------------------------

SITE = """
access_log off;
map $http_upgrade $connection_header { default upgrade; "" ""; }
upstream starts {
    server 127.0.0.1:ONE max_fails=0;
    server 127.0.0.1:OTHER max_fails=0;
}
server {
    listen 127.0.0.1:PORT;
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_header;
    proxy_set_header Host $http_host;
    # A start that is refused, or that no process has received, has no effect.
    location = /start {
        proxy_pass http://starts;
        proxy_next_upstream error http_503 non_idempotent;
    }
    location /one/ { proxy_pass http://127.0.0.1:ONE/; }
    location /other/ { proxy_pass http://127.0.0.1:OTHER/; }
}
"""


@contextmanager
def balancing(folder: Path, port: int, one: int, other: int) -> Generator[None]:
    """Run nginx in front of two processes, by their ports."""
    if (program := shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")) is None:
        pytest.fail("nginx is not installed. On Debian: apt-get install nginx-light")
    values = {"PORT": port, "ONE": one, "OTHER": other}
    site = SITE
    for name, value in values.items():
        site = site.replace(name, str(value))
    (folder / "site.conf").write_text(site)
    shutil.copy(NGINX, folder)
    command = ["sh", "-c", f"exec {program} -p {folder} -c nginx.conf 2>&1"]
    with running(command, r"(start worker processes)", env=environment()):
        yield


def free_ports(count: int) -> list[int]:
    """Return ports that nobody uses."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in listeners]


async def test_two_processes_behind_a_load_balancer_are_replaced(tmp_path: Path) -> None:
    """One after the other ends with SIGTERM, and a process with the new version replaces it."""
    port, *ports = free_ports(3)
    url = f"http://127.0.0.1:{port}"
    with released(tmp_path) as servers:
        places = dict(zip(ports, ("one", "other"), strict=True))

        def start(own: int) -> Server:
            options = ("--port", str(own), "--public-url", f"{url}/{places[own]}", "--proxy", "127.0.0.1")
            return servers.start(*options, "--drain-seconds", str(DRAIN), "--connections-per-address", "1000")

        old = {own: start(own) for own in ports}
        with balancing(tmp_path, port, *ports):
            async with calling(url, CALLS) as calls, coming(url) as newcomers:
                await all_have_booked(calls)
                before = {each.process for each in calls}
                assert len(before) == 2
                release(servers)
                for own, server in old.items():
                    server.signal(signal.SIGTERM)
                    await asyncio.to_thread(server.process.wait, PATIENCE)
                    await asyncio.to_thread(start, own)
                await until(lambda: all(each.version == 2 for each in calls))
                await all_have_booked(calls)
                assert not before & {each.process for each in calls}
            check(servers, calls, newcomers)
