"""`rtvi run --workers N`: real processes behind one address, and clients that talk to them."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import httpx2
import pytest
from attrs import define
from live import PATIENCE, everything
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from rtvi_plugins import Session, bot
from rtvi_plugins.cli import USAGE, guarded
from rtvi_plugins.hosting import Host
from rtvi_plugins.resuming import OWNER, MemoryStore
from rtvi_plugins_server import command, create_app
from rtvi_plugins_server._workers import front
from rtvi_plugins_server._workers.control import Report
from rtvi_plugins_server._workers.front import Front
from rtvi_plugins_server._workers.worker import WorkerApp
from rtvi_plugins_server.starting import start_session

BOT = """
import os
from rtvi_plugins import Session, action, bot


@bot(services={}, public=True, client=["bot:process"])
async def clerk(session: Session, /) -> None:
    "Says nothing."


@action(clerk)
async def process(session: Session, /) -> int:
    "Return the process in which the session is."
    return os.getpid()
"""
#: A bot whose provider needs a key.
KEYED = """
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from rtvi_plugins import LLM, Secret, Session, bot, service
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text


class Acme:
    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        yield Text("Hello.")


@service("llm", "acme")
@asynccontextmanager
async def acme(api_key: Secret, /) -> AsyncGenerator[Acme]:
    "Needs a key."
    yield Acme()


@bot(services={"llm": "acme"}, public=True)
async def keyed(session: Session, /, llm: LLM) -> None:
    "Says nothing."
"""
READY = '{"label": "rtvi-ai", "type": "client-ready", "id": "0", "data": {"version": "1.0.0"}}'
ASK = '{"label": "rtvi-ai", "type": "action", "id": "1", "data": {"service": "bot", "action": "process"}}'


@bot(public=True)
async def clerk(session: Session, /) -> None:
    """Says nothing."""


@define
class Running:
    """A front-end process, and the lines that it writes."""

    process: subprocess.Popen[str]
    url: str

    @contextmanager
    def talk(self) -> Generator[ClientConnection]:
        """Start a session and connect to it."""
        started = httpx2.post(f"{self.url}/start", trust_env=False, timeout=PATIENCE).json()
        url = f"{started['wsUrl']}?token={started['token']}"
        with connect(url, open_timeout=PATIENCE, proxy=None) as client:
            client.send(READY)
            yield client

    def until(self, pattern: str) -> re.Match[str]:
        """Wait for a line of its standard error."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if (found := re.search(pattern, line)) is not None:
                return found
        raise AssertionError(f"it has ended without {pattern!r}")

    def until_another_accepts(self, old: set[int]) -> int:
        """Start sessions until one is in a process that is not among these, and return the process."""
        while True:
            try:
                with self.talk() as client:
                    if (found := process_of(client)) not in old:
                        return found
            except (OSError, KeyError, ValueError):  # a worker that has ended a moment ago
                continue


Start: TypeAlias = Callable[..., Any]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start a front-end process with two workers."""

    @contextmanager
    def starting(*options: str, bot: str = BOT) -> Generator[Running]:
        path = tmp_path / "bot.py"
        path.write_text(bot)
        line = [sys.executable, "-m", "rtvi_plugins", "run", str(path), "--port", "0", "--workers", "2", *options]
        with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
                yield Running(process, found[0] if found is not None else "")
            finally:
                for _ in range(2):
                    process.terminate()

    return starting


def process_of(client: ClientConnection) -> int:
    """Return the process of a session."""
    client.send(ASK)
    while (message := json.loads(client.recv(timeout=PATIENCE)))["type"] != "action-response":
        assert message["type"] != "error-response"
    return int(message["data"]["result"])


@pytest.mark.slow
def test_a_missing_key_is_logged_once(start: Start) -> None:
    """All workers have the same environment."""
    with start(bot=KEYED) as running:
        running.process.terminate()
        _, err = running.process.communicate(timeout=PATIENCE)
    assert err.count("llm.acme has no key in this process. Set ACME_API_KEY") == 1


@pytest.mark.slow
def test_sessions_are_spread_and_outlive_other_workers_and_a_release(start: Start) -> None:
    """If a worker dies, only its own sessions end. When new workers replace old ones, the old ones keep theirs."""
    with start("--drain-seconds", "60") as running, ExitStack() as stack:
        clients = [stack.enter_context(running.talk()) for _ in range(8)]
        places = {client: process_of(client) for client in clients}
        counts = Counter(places.values())
        assert sorted(counts.values()) == [4, 4]

        # A worker is killed: another takes its place, and the sessions of the other worker go on.
        victim, other = counts
        subprocess.run(["kill", "-9", str(victim)], check=True)
        running.until(r"Worker \d has ended \(-9\)\. Starting another\.")
        survivors = [client for client in clients if places[client] == other]
        assert {process_of(each) for each in survivors} == {other}
        third = running.until_another_accepts({victim, other})

        # A release: the old workers keep their sessions, and new sessions are in new processes.
        running.process.send_signal(signal.SIGHUP)
        running.until("Starting new workers")
        assert running.until_another_accepts({victim, other, third}) > 0
        running.until("Waiting for 4 sessions to end")
        assert {process_of(each) for each in survivors} == {other}

        # The end: no session starts, and the live ones go on until the second signal.
        running.process.terminate()
        while (response := httpx2.post(f"{running.url}/start", trust_env=False)).status_code == 200:
            pass  # the signal is on its way
        assert (response.status_code, response.json()["error"]) == (503, "draining")
        assert {process_of(each) for each in survivors} == {other}
        health = httpx2.get(f"{running.url}/health", trust_env=False)
        assert (health.status_code, health.json()["open_sessions"]) == (503, 4)
        running.process.terminate()
        assert running.process.wait(PATIENCE) == 0


@pytest.mark.slow
def test_each_connection_carries_one_request(start: Start) -> None:
    """The next request may be for another worker. A slow first line delays nobody, and invalid data is answered."""
    with start() as running:
        address = ("127.0.0.1", int(running.url.rpartition(":")[2]))
        with socket.create_connection(address, timeout=PATIENCE) as slow:
            slow.sendall(b"GET /he")
            response = httpx2.get(f"{running.url}/health", trust_env=False)
            assert (response.status_code, response.headers["connection"]) == (200, "close")
            slow.sendall(b"alth HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert everything(slow).startswith(b"HTTP/1.1 200")
        with socket.create_connection(address, timeout=PATIENCE) as nonsense:
            nonsense.sendall(b"\x16\x03\x01\r\n\r\n" + bytes(500))
            assert everything(nonsense).startswith(b"HTTP/1.1 400")
        # A token of no session, and a worker that there is not any more.
        for path in ("/w1/ws?token=x", "/w99/ws?token=x"):
            with pytest.raises(InvalidStatus) as refused, connect(f"ws{running.url[4:]}{path}", proxy=None):
                pass
            assert refused.value.response.status_code == 401


@pytest.mark.slow
def test_a_bot_that_cannot_be_loaded_ends_the_front(start: Start) -> None:
    """The exit code and the sentence are those of the first worker. Neither it nor another is started then."""
    with start(bot="import json\njson.dumpz({})\n") as running:
        assert running.process.wait(PATIENCE) == USAGE
        assert running.process.stderr is not None
        (line,) = running.process.stderr.read().splitlines()
    assert "cannot be imported: AttributeError" in line


def test_a_number_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The check comes before anything starts."""
    assert guarded(lambda: command.run(["bot.py", "--workers", "0"])) == USAGE
    assert "--workers 0 is too small; write 1 or more." in capsys.readouterr().err


def test_a_report_is_read_as_it_was_written() -> None:
    """The report may have an announcement or not."""
    for report in (
        Report(3, accepts=True),
        Report(0, accepts=False, announcement="RTVI bot clerk on \0", connections=2, taken=5),
    ):
        assert Report.from_bytes(report.to_bytes()) == report


def test_a_request_without_any_worker_is_answered() -> None:
    """The answer says when to try again."""

    async def ask() -> bytes:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            front = Front([], 0, listener, lambda text: None)
            listener.setblocking(False)
            accepting = asyncio.create_task(front._accept())  # pyright: ignore[reportPrivateUsage]
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            answer = await reader.readline() + await reader.readline() + await reader.readline()
            writer.close()
            accepting.cancel()
            return answer

    answer = asyncio.run(ask())
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"retry-after: 10\r\n" in answer


@pytest.mark.slow
def test_a_log_in_json_is_one_object_per_line(start: Start) -> None:
    """This includes the lines of the front-end process and of its workers."""
    asked = 'import logging; logging.getLogger("clerk").warning("asked")'
    bot = BOT.replace("return os.getpid()", f"{asked}; return os.getpid()")
    with start("--log-format", "json", bot=bot) as running:
        with running.talk() as client:
            process = process_of(client)
        os.kill(process, signal.SIGKILL)
        assert running.process.stderr is not None
        of_worker, of_front = (json.loads(running.process.stderr.readline()) for _ in range(2))
        with running.talk():
            running.process.terminate()
            assert "Waiting for 1 session to end" in json.loads(running.process.stderr.readline())["message"]
    assert (of_worker["logger"], of_worker["message"]) == ("clerk", "asked")
    assert of_worker["session"]
    assert (of_front["level"], of_front["logger"]) == ("WARNING", "rtvi_plugins.server")
    assert "has ended (-9). Starting another." in of_front["message"]


def test_many_silent_connections_are_never_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest ones are closed, even if others arrive faster than the front-end process accepts them."""
    held, most = set[int](), 0

    async def silent(accepted: socket.socket) -> bytes:
        nonlocal most
        held.add(accepted.fileno())
        most = max(most, len(held))
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            held.discard(accepted.fileno())
        return b""

    async def flood() -> list[socket.socket]:
        with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
            front = Front([], 0, listener, lambda text: None)
            listener.setblocking(False)
            clients = [socket.create_connection(listener.getsockname()) for _ in range(20)]
            accepting = asyncio.create_task(front._accept())  # pyright: ignore[reportPrivateUsage]
            async with asyncio.timeout(PATIENCE):
                for each in clients[:15]:
                    each.setblocking(False)
                    assert await asyncio.get_running_loop().sock_recv(each, 1) == b""
            accepting.cancel()
            return clients

    monkeypatch.setattr(front, "_first_line", silent)
    monkeypatch.setattr(front, "_MOST_WAITING", 5)
    for client in asyncio.run(flood()):
        client.close()
    assert 0 < most <= 6


def test_connections_that_wait_leave_descriptors_for_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a process may open few files."""
    monkeypatch.setattr(front, "most_connections", lambda: 32)
    with socket.socket() as listener:
        assert Front([], 0, listener, lambda text: None)._most_waiting == 32  # pyright: ignore[reportPrivateUsage]


def test_a_worker_that_cannot_be_started_ends_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The front tries again later. At the start of the server, it is an error."""

    def exhausted(*args: Any, **options: Any) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(front, "Popen", exhausted)
    with socket.socket() as listener:
        serving = Front([], 1, listener, lambda text: None)
        serving._missing = 1  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(OSError, match="temporarily"):
            serving._spawn()  # pyright: ignore[reportPrivateUsage]
        serving._announced = True  # pyright: ignore[reportPrivateUsage]
        serving._spawn()  # pyright: ignore[reportPrivateUsage]
        assert serving._missing == 1  # pyright: ignore[reportPrivateUsage]
        assert serving._not_before > time.monotonic()  # pyright: ignore[reportPrivateUsage]
    assert caplog.messages == ["No worker can be started: Resource temporarily unavailable. Trying again in 0.2 s."]


@pytest.mark.anyio
async def test_a_number_of_a_worker_that_is_far_too_long_is_no_number() -> None:
    """Python reads no number of so many digits."""
    host = Host(clerk, environ={})
    transport = httpx2.ASGITransport(WorkerApp(create_app(host), 0, None))
    async with host, httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        response = await http.get(f"/w{'9' * 5_000}/health")
    assert (response.status_code, response.json()["error"]) == (404, "not-found")


def test_nothing_is_handed_to_a_worker_that_has_ended() -> None:
    """Another worker gets it, even before the end was noticed."""

    async def ask() -> bytes:
        with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:
            serving = Front([], 0, listener, lambda text: None)
            controls: list[socket.socket] = []
            for key in range(2):
                ours, theirs = map(stack.enter_context, socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
                ours.setblocking(False)
                process: Any = None
                worker = front._Worker(key, process, ours, 0.0, Report(key, accepts=True))  # pyright: ignore[reportPrivateUsage]
                serving._workers[key] = worker  # pyright: ignore[reportPrivateUsage]
                controls.append(theirs)
            controls[0].close()
            listener.setblocking(False)
            accepting = asyncio.create_task(serving._accept())  # pyright: ignore[reportPrivateUsage]
            with socket.create_connection(listener.getsockname()) as client:
                client.send(b"GET /w0/health HTTP/1.1\r\n\r\n")
                controls[1].settimeout(PATIENCE)
                data, descriptors, _, _ = await asyncio.to_thread(socket.recv_fds, controls[1], 16, 1)
                for each in descriptors:
                    with socket.socket(fileno=each) as handed:
                        assert handed.recv(100).startswith(b"GET /w0/health")
            accepting.cancel()
            return data

    assert asyncio.run(ask()) == b"+1"


def test_what_was_handed_over_since_a_report_counts() -> None:
    """A report may be older than a start, and then does not include its session."""
    unused: Any = None
    report = Report(2, accepts=True, connections=3, taken=5)
    worker = front._Worker(0, unused, unused, 0.0, report, handed=5)  # pyright: ignore[reportPrivateUsage]
    assert worker.load == 5
    worker.handed += 1
    assert worker.load == 6
    worker.report = Report(3, accepts=True, connections=3, taken=6)
    assert worker.load == 6


def test_a_worker_that_is_stuck_gets_no_new_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of its sessions does not matter. If all are stuck, one of them gets it nevertheless."""
    serving = Front([], 0, socket.socket(), lambda text: None)
    unused: Any = None
    workers = serving._workers  # pyright: ignore[reportPrivateUsage]
    for key, heard in enumerate((7.0, 9.5)):
        workers[key] = front._Worker(key, unused, unused, 0.0, Report(key, accepts=True), heard)  # pyright: ignore[reportPrivateUsage]

    def chosen(line: bytes, now: float) -> int:
        monkeypatch.setattr(time, "monotonic", lambda: now)
        found = serving._choose(line)  # pyright: ignore[reportPrivateUsage]
        assert found is not None
        return found.key

    new = b"POST /start HTTP/1.1\r\n"
    assert [chosen(new, 8.0), chosen(new, 10.0), chosen(new, 99.0), chosen(b"GET /w0/ws ", 99.0)] == [0, 1, 0, 0]
    resume = b"POST /w0/webrtc/start?sent=1 HTTP/1.1\r\n"
    assert [chosen(resume, 8.0), chosen(resume, 10.0)] == [0, 1]
    serving.listener.close()


def test_a_worker_that_is_stuck_does_not_outlive_a_second_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is killed, and the front-end process ends."""
    monkeypatch.setattr(front, "_ENDING_SECONDS", 0.0)
    control, other = socket.socketpair()
    line = [sys.executable, "-c", "import signal; signal.pause()"]
    with other, socket.create_server(("127.0.0.1", 0)) as listener, subprocess.Popen(line) as process:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        stuck: Any = process
        serving = Front([], 0, listener, lambda text: None)
        serving._workers[0] = front._Worker(0, stuck, control, 0.0)  # pyright: ignore[reportPrivateUsage]
        for _ in range(2):
            serving._end()  # pyright: ignore[reportPrivateUsage]
        assert serving.run() == 0
        assert process.returncode == -signal.SIGKILL


async def start_over(host: Host, request: Request) -> Response:
    """Start a session, as a plugin does for its own transport."""
    return JSONResponse({"token": (await start_session(request, host)).token})


@pytest.mark.parametrize(
    ("owner", "path", "expected"),
    [
        ("http://bots.example/w1", "/start", "w1/start?sent=1"),
        ("http://bots.example/w1", "/w0/connect", "../w1/connect?sent=1"),
        ("http://bots.example/w1", "/webrtc/start", "../w1/webrtc/start?sent=1"),
        ("http://bots.example/w1", "/w0/webrtc/start", "../../w1/webrtc/start?sent=1"),
        ("http://evil.example/w1", "/start", None),
        ("http://bots.example/w1/elsewhere", "/start", None),
        ("http://bots.example/w0", "/start", None),
    ],
)
def test_a_resume_is_sent_to_a_worker_of_this_server_alone(owner: str, path: str, expected: str | None) -> None:
    """The owner in the store and the client's statement about the server make no difference."""

    async def locate() -> str | None:
        store = MemoryStore()
        await store.write("s", 1, {OWNER: owner}, 60)
        host = Host(clerk, environ={}, store=store, address="http://bots.example/w0")
        app = create_app(host)
        app.router.routes.append(Route("/webrtc/start", partial(start_over, host), methods=["POST"]))
        transport = httpx2.ASGITransport(WorkerApp(app, 0, None))
        async with host, httpx2.AsyncClient(transport=transport, base_url="http://other.example") as http:
            response = await http.post(path, json={"resume": "s.token"})
        assert response.status_code == (401 if expected is None else 307)
        return response.headers.get("location")

    assert asyncio.run(locate()) == expected
