"""The real HAProxy and nginx, with the configurations of the page, in front of two servers that share a store."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

import anyio
import httpx2
import pytest
import trustme
import yaml
from rtvi_plugins.client import Client

from processes import free_port, nginx, rtvi_run, with_values
from rtvi_plugins_client import connect

HERE = Path(__file__).parent
#: Runs in a folder, and yields its URL.
Proxy: TypeAlias = Callable[[Path], AbstractContextManager[str]]

BOT = '''
import os
from attrs import define
from rtvi_plugins import Session, action, bot


@define
class Stay:
    """What is known of a stay."""

    nights: int = 0


@bot(public=True, state=Stay, client=["bot:add_night", "bot:process"])
async def receptionist(session: Session[Stay], /) -> None:
    """Counts nights."""


@action(receptionist)
async def add_night(session: Session[Stay], /) -> int:
    """Add a night, and return how many there are."""
    session.state.nights += 1
    return session.state.nights


@action(receptionist, repeatable=True)
async def process(session: Session[Stay], /) -> int:
    """Return the process that the session is in."""
    return os.getpid()
'''


@contextmanager
def machines(folder: Path, url: str, *names: str) -> Generator[list[str]]:
    """Run a server for each name, all with one store. Yield their hosts and ports."""
    (folder / "bot.py").write_text(BOT)
    with ExitStack() as stack:
        running = [
            rtvi_run(
                folder / "bot.py",
                f"--public-url={url}/{name}",
                "--proxy=127.0.0.1",
                "--drain-seconds=0",
                "--resume",
                RTVI_STORE=str(folder / "sessions.db"),
            )
            for name in names
        ]
        yield [stack.enter_context(each).removeprefix("http://") for each in running]


@contextmanager
def haproxy(folder: Path) -> Generator[str]:
    """Run HAProxy in front of two servers, and yield its URL. Clients of this test connect without TLS."""
    if (program := shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")) is None:
        pytest.fail("haproxy is not installed. On Debian: apt-get install haproxy")
    certificate = trustme.CA().issue_cert("localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "site.pem")
    port, secure = free_port(), free_port()
    with machines(folder, f"http://127.0.0.1:{port}", "node1", "node2") as (one, other):
        values = {
            ":443 ssl crt /etc/haproxy/bots.hotel.example.pem": f"127.0.0.1:{secure} ssl crt site.pem\n"
            f"    bind 127.0.0.1:{port}",
        }
        text = with_values((HERE / "haproxy.cfg").read_text(), values)
        (folder / "haproxy.cfg").write_text(text.replace("10.0.0.7:7860", one).replace("10.0.0.8:7860", other))
        with subprocess.Popen([program, "-db", "-f", "haproxy.cfg"], cwd=folder, stdout=subprocess.DEVNULL) as process:
            try:
                wait_for(f"http://127.0.0.1:{port}/ready")
                socket.create_connection(("127.0.0.1", secure)).close()
                yield f"http://127.0.0.1:{port}"
            finally:
                process.kill()


@contextmanager
def gateway(folder: Path) -> Generator[str]:
    """Run the nginx of the Kubernetes gateway in front of two servers, and yield its URL. Names come from a map."""
    (text,) = [
        each["data"]["gateway.conf"]
        for each in yaml.safe_load_all((HERE / "gateway.yaml").read_text())
        if each["kind"] == "ConfigMap"
    ]
    port = free_port()
    with machines(folder, f"http://127.0.0.1:{port}", "hotel-bot-0", "hotel-bot-1") as (one, other):
        values = {
            "/dev/stdout": "site.log",
            "listen 8080": f"listen 127.0.0.1:{port}",
            "resolver kube-dns.kube-system.svc.cluster.local": "resolver 127.0.0.1",
            "$pod.hotel-bot.default.svc.cluster.local:7860": "$address",
            "http://hotel-bot-ready:7860": "http://ready",
        }
        addresses = f"map $pod $address {{ hotel-bot-0 {one}; hotel-bot-1 {other}; }}\n"
        ready = f"upstream ready {{ server {one}; server {other}; }}\n"
        with nginx(folder, addresses + ready + with_values(text, values)):
            yield f"http://127.0.0.1:{port}"


def wait_for(url: str) -> None:
    """Wait until it answers."""
    until = time.monotonic() + 20
    while True:
        try:
            httpx2.get(url).raise_for_status()
            return
        except (httpx2.HTTPError, OSError):
            if time.monotonic() > until:
                raise
            time.sleep(0.02)  # another program's start has no other sign


async def next_process(client: Client, first: int) -> int:
    """Ask until the session is in another process. The first one has a signal, and ends soon."""
    while True:
        if (found := int(await client.action("bot:process"))) != first:
            return found
        await anyio.sleep(0.01)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL], ids=["terminated", "killed"])
@pytest.mark.parametrize("proxy", [haproxy, gateway], ids=["haproxy", "gateway"])
def test_a_session_continues_at_another_machine(proxy: Proxy, sign: signal.Signals, tmp_path: Path) -> None:
    """It moves when its own machine ends. New sessions start there meanwhile."""

    async def call(url: str) -> None:
        async with connect(url, resume_delay=0.1) as client:
            assert await client.action("bot:add_night") == 1
            first = await client.action("bot:process")
            os.kill(first, sign)
            with anyio.fail_after(20):
                second = await next_process(client, first)
            assert await client.action("bot:add_night") == 2
            async with connect(url) as another:
                assert await another.action("bot:add_night") == 1
                assert await another.action("bot:process") == second

    with proxy(tmp_path) as url:
        anyio.run(call, url)
