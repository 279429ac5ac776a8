"""`rtvi run`: its messages for mistakes, and a real process from its first line to its end."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import socket
import struct
import subprocess
import sys
from array import array
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import httpx2
import pytest
from live import PATIENCE, everything
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from rtvi_plugins.cli import FAILED, OK, USAGE, guarded
from rtvi_plugins.kinds import Audio
from rtvi_plugins_server import command
from rtvi_plugins_server._options import read_options
from rtvi_plugins_server._protobuf import decode, encode

DESK = Path(__file__).with_name("desk.py")
RUN = [sys.executable, "-m", "rtvi_plugins", "run"]
READY = '{"label": "rtvi-ai", "type": "client-ready", "id": "0", "data": {}}'

#: A plugin with a route of its own.
HELLO = """
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from rtvi_plugins.hookspecs import hookimpl


@hookimpl
def server_routes(host):
    async def hello(request):
        return PlainTextResponse(f"hello from {host.registry.bot.name}")

    return [Route("/hello", hello)]
"""


def run(argv: list[str]) -> int:
    """Return the exit code of `rtvi run`."""
    return guarded(lambda: command.run(argv))


# ---- mistakes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ([], "the following arguments are required: BOT"),
        (["bot.py", "--port", "x"], "--port"),
        (["bot.py", "--port", "70000"], "--port 70000 is not a port; write 0 to 65535."),
        (["bot.py", "--drain-seconds", "-1"], "--drain-seconds -1 is not a time; write 0 to 31536000 (a year), or"),
        (["bot.py", "--drain-seconds", "nan"], "--drain-seconds nan is not a time; write 0 to 31536000"),
        (["bot.py", "--drain-seconds", "1e300"], "--drain-seconds 1e+300 is not a time; write 0 to 31536000"),
        (["bot.py", "--resume-seconds", "0"], "--resume-seconds 0 is not a time; write a number above 0, at most"),
        (["bot.py", "--resume-seconds", "inf"], "--resume-seconds inf is not a time; write a number above 0, at"),
        (["bot.py", "--resume", "--resume-seconds", "1e300"], "--resume-seconds 1e+300 is not a time; write a number"),
        (["bot.py", "--resume-seconds", "5"], "--resume-seconds needs --resume, which saves the sessions; add it, or"),
        (["bot.py", "--resume-sync"], "--resume-sync needs --resume, which saves the sessions; add it, or leave out"),
        (["bot.py", "--keep-days", "30"], "--keep-days needs --resume, which saves"),
        (["bot.py", "--resume", " "], "--resume is empty; write a value, or leave it out."),
        (["bot.py", "--host", ""], "--host is empty; write a value, or leave it out."),
        (["bot.py", "--dev", "--host", "[::1]"], "--host [::1] has brackets; write ::1."),
        (["bot.py", "--public-url", ""], "--public-url is empty"),
        (["bot.py", "--record", ""], "--record is empty"),
        (["bot.py", "--resume", "--keep-days", "-1"], "--keep-days -1 is not a time; write a number of days, at most"),
        (["bot.py", "--resume", "--keep-days", "1e300"], "--keep-days 1e+300 is not a time; write a number of days,"),
        (["bot.py", "--workers", "1000000"], "--workers 1000000 is too many; write 1000 or less."),
        (["bot.py", "--resume", "redis://127.0.0.1/0", "--resume-sync"], "--resume-sync is for files."),
        ([str(DESK), "--limit", "idle_second=5"], "There is no limit 'idle_second'; did you mean 'idle_seconds'?"),
        ([str(DESK), "--limit", "jobs=2.5"], "The limit jobs must be a whole number, as in jobs=60, not '2.5'."),
        (
            ["bot.py", "--limit", "idle_seconds=1e300"],
            "The limit idle_seconds must be at most 1000000000000, or inf for",
        ),
        (["bot.py", "--limit", "rate=inf"], "The limit rate must be at most 1000000000000, not inf."),
        (["bot.py", "--limit", f"burst=1{'0' * 400}"], "The limit burst must be at most 1000000000000, not 1000"),
        ([str(DESK), "--limit", "deadline=-1"], "The limit deadline must be greater than 0, not -1.0."),
        (["bot.py", "--dev", "--host", "0.0.0.0"], "leave out --dev or --host 0.0.0.0."),
        (["bot.py", "--dev", "--public-url", "https://bots.example"], "leave out --dev or --public-url."),
        (
            ["bot.py", "--public-url", "bots.example"],
            "--public-url: 'bots.example' is not the URL of a server; write it",
        ),
        (["bot.py", "--public-url", "http://[::1"], "--public-url: 'http://[::1' is not the URL of a server; write"),
        (
            ["bot.py", "--public-url", "https://a.example/?b=c"],
            "is not the URL of a server; write it as in 'https://bots",
        ),
        (["nowhere.py"], "There is no file 'nowhere.py'."),
        (["bot.py", "--prot", "80"], "rtvi run: error: unrecognized arguments: --prot 80; did you mean --port?"),
        (["bot.py", "-x"], "rtvi run: error: unrecognized arguments: -x\n"),
        ([f"{DESK}"], "several bots: desk, wreckers, office, stubborn, deaf, parrot, leaver, tuned."),
        ([f"{DESK}:dask"], "did you mean 'desk'?"),
        ([f"{DESK}:desk", "--plugin", "nowhere"], "No plugin 'nowhere' is installed."),
        ([f"{DESK}:stubborn", "--service-option", "llm.url=x"], "There is no service option 'llm.url'."),
        ([f"{DESK}:desk", "--record", str(DESK)], f"Cannot record to {DESK}: "),
        ([f"{DESK}:desk", "--origin", "app.example"], "'app.example' is not an origin; write it in full"),
        ([f"{DESK}:desk", "--origin", "https://app.example/page"], "write 'https://app.example'."),
        ([f"{DESK}:desk", "--origin", "https://app.example?page=1"], "write 'https://app.example'."),
        ([f"{DESK}:desk", "--origin", "http://[::1"], "'http://[::1' is not an origin; write it in full and in ASCII"),
        ([f"{DESK}:desk", "--origin", "https://*.example"], "'https://*.example' is not an origin; write it in full"),
        ([f"{DESK}:desk", "--origin", "https://bücher.example"], "is not an origin; write it in full and in ASCII"),
        ([f"{DESK}:desk", "--origin", "https://a.example,https://b.example"], "is not an origin; write it in full"),
        ([f"{DESK}:desk", "--proxy", "10.0.0.300"], "'10.0.0.300' is not the address or the network of a proxy; write"),
    ],
)
def test_a_mistake_is_answered_by_a_sentence(
    capsys: pytest.CaptureFixture[str], argv: list[str], sentence: str
) -> None:
    """It says what to write instead, and the exit code is 2."""
    assert run(argv) == USAGE
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert (printed.out, "Traceback" in printed.err) == ("", False)
    assert printed.err.startswith(("rtvi: ", "usage: rtvi run "))


def test_a_blank_variable_names_no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error would be about an option that has no value."""
    monkeypatch.setenv("RTVI_STORE", " ")
    assert read_options(["bot.py", "--resume"]).resume == "sessions.db"


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("import json\n\njson.dumpz({})\n", "AttributeError: .*dumpz.*bot.py, line 3"),
        ("def\n", "SyntaxError: .*bot.py, line 1"),
    ],
)
def test_a_bot_that_cannot_be_imported_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str, place: str
) -> None:
    """The author reads what is wrong and where, in one line."""
    (tmp_path / "bot.py").write_text(source)
    assert run([str(tmp_path / "bot.py")]) == USAGE
    assert re.fullmatch(f"rtvi: .*bot.py cannot be imported: {place}.*\n", capsys.readouterr().err)


SLOW = """
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
import anyio
from rtvi_plugins import Session, bot, lifespan

class Pool: ...

@lifespan
@asynccontextmanager
async def pool() -> AsyncGenerator[Pool]:
    try:
        {opens}
        yield Pool()
    finally:
        print("closed", flush=True)

@bot(public=True)
async def needy(session: Session, pool: Pool, /) -> None: ...
"""


def test_a_lifespan_that_does_not_open_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The server does not start, and the operator reads the reason without a traceback."""
    (tmp_path / "bot.py").write_text(SLOW.format(opens="raise OSError('no database')"))
    assert run([str(tmp_path / "bot.py"), "--port", "0"]) == USAGE
    printed = capsys.readouterr()
    assert printed.out == "closed\n"
    assert re.search(
        r"rtvi: The lifespan pool\(\) .*bot.py:9\) of the bot needy cannot open: it raised OSError", printed.err
    )
    assert "Traceback" not in printed.err


@pytest.mark.parametrize("waits", ["await anyio.sleep_forever()", "threading.Event().wait(600)"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_server_that_is_still_opening(tmp_path: Path, number: int, waits: str) -> None:
    """What was opened is closed, even if the bot blocks the event loop, as the import of a large library does."""
    opens = f"import threading; print('opening', flush=True); {waits}"
    (tmp_path / "bot.py").write_text(SLOW.format(opens=opens))
    argv = [*RUN, str(tmp_path / "bot.py"), "--port", "0"]
    with subprocess.Popen(argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "opening\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, "Traceback" in err) == (0, "closed\n", False)


def test_ctrl_c_ends_a_server_whose_bot_is_being_imported(tmp_path: Path) -> None:
    """It ends without a traceback, and with the same exit code as later."""
    # A signal that comes just before a long wait would not end it.
    source = "import threading\nprint('importing', flush=True)\nwhile not threading.Event().wait(0.05):\n    pass"
    (tmp_path / "bot.py").write_text(source)
    argv = [*RUN, str(tmp_path / "bot.py"), "--port", "0"]
    with subprocess.Popen(argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_port_that_is_taken_is_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is 1, because another attempt may succeed."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert run([f"{DESK}:desk", "--port", str(port)]) == FAILED
    assert capsys.readouterr().err.startswith(f"rtvi: Port {port} of 127.0.0.1 is used by another program")


def test_an_address_of_another_machine_is_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    """Any other reason why it cannot listen is reported in this way, too."""
    for host in ("192.0.2.1", "http://127.0.0.1"):
        assert run([f"{DESK}:desk", "--host", host, "--port", "0"]) == FAILED
        printed = capsys.readouterr().err
        assert f"This machine cannot listen on {host}, port 0: " in printed
        assert "Give --host an address of this machine, without scheme and port, as in --host 127.0.0.1" in printed


def test_help_explains_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    """A request for help is not a mistake."""
    assert run(["--help"]) == OK
    printed = capsys.readouterr().out
    for option in ("--dev", "--host", "--port", "--origin", "--public-url", "--drain-seconds", "--limit", "--plugin"):
        assert option in printed
    assert {"--record", "--log-level"} <= set(printed.split())


def test_help_does_not_wait_for_what_it_does_not_need() -> None:
    """Help is shown without importing the server or what runs sessions."""
    seen = (
        "import sys; from rtvi_plugins.cli import guarded; from rtvi_plugins_server.command import run;"
        "guarded(lambda: run(['--help'])); print(sorted(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True).stdout
    assert "'rtvi_plugins_server.command'" in output
    assert not {"uvicorn", "starlette", "google.protobuf", "numpy", "rtvi_plugins.hosting"} & set(
        re.findall(r"'([\w.]+)'", output)
    )


# ---- a real process --------------------------------------------------------------------------------------------


class Running:
    """A process of `rtvi run` that listens."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.line = process.stdout.readline()
        found = re.match(r"RTVI bot (\w+) on (http://127\.0\.0\.1:\d+)(?: \(.*\))?$", self.line)
        assert found is not None, f"{self.line!r} is not a ready line"
        self.bot, self.url = found.groups()

    def post(self, path: str, **options: Any) -> httpx2.Response:
        return httpx2.post(f"{self.url}{path}", trust_env=False, **options)

    @contextmanager
    def talk(self) -> Generator[ClientConnection]:
        """Connect a client, and begin a session."""
        with connect(self.post("/connect").json()["ws_url"], proxy=None) as client:
            client.send(READY)
            assert json.loads(client.recv())["type"] == "bot-ready"
            yield client

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def until_draining(self) -> httpx2.Response:
        """Return the first answer of /health that is not "ok"."""
        while (response := httpx2.get(f"{self.url}/health", trust_env=False)).status_code == 200:
            pass
        return response

    def ended(self) -> int:
        return self.process.wait(timeout=PATIENCE)


Start: TypeAlias = Callable[..., AbstractContextManager[Running]]


@pytest.fixture
def start() -> Start:
    """Start a process on a free port with the given options. It is killed after the test if it still runs."""

    @contextmanager
    def begin(bot: str, *options: str, **environ: str) -> Generator[Running]:
        env = {**os.environ, "RTVI_OPERATOR_SECRET": "", **environ}
        target = bot if ":" in bot else f"{DESK}:{bot}"
        argv = [*RUN, target, "--port", "0", *options]
        with subprocess.Popen(argv, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                yield Running(process)
            finally:
                process.kill()

    return begin


def test_a_process_serves_drains_and_ends(start: Start, action: Callable[..., str]) -> None:
    """After the first signal, live sessions continue, and new ones are refused. The last one ends the process."""
    with start("desk") as running:
        assert running.bot == "desk"
        with running.talk() as client:
            running.signal()
            health = running.until_draining()
            assert (health.status_code, health.json()) == (503, {"status": "draining", "open_sessions": 1})
            assert running.post("/start").json()["error"] == "draining"
            client.send(action("1", "add", a=1, b=2))
            assert json.loads(client.recv())["data"] == {"result": 3}
        assert running.ended() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_process_ends_at_once(start: Start, number: int) -> None:
    """Nothing delays it, and the exit code is that of a success."""
    with start("desk", "--drain-seconds", "3600") as running:
        running.signal(number)
        assert running.ended() == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full disk to write to")
@pytest.mark.parametrize("options", [[], ["--workers", "2"]])
@pytest.mark.parametrize("streams", ["<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
def test_a_process_serves_and_drains_without_standard_streams(
    action: Callable[..., str], streams: str, options: list[str]
) -> None:
    """Some supervisors close them, and the disk of the log may be full."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{(port := free.getsockname()[1])}"
    argv = ["sh", "-c", f'exec "$@" {streams}', "sh", *RUN, f"{DESK}:desk", "--port", str(port), *options]
    with subprocess.Popen(argv) as process:
        try:
            while process.poll() is None:
                with suppress(httpx2.ConnectError):
                    if httpx2.get(f"{url}/ready", trust_env=False).status_code == 200:
                        break
            with connect(httpx2.post(f"{url}/connect", trust_env=False).json()["ws_url"], proxy=None) as client:
                client.send(READY)
                process.terminate()
                while httpx2.get(f"{url}/health", trust_env=False).status_code == 200:
                    pass
                client.send(action("1", "add", a=1, b=2))
                assert [json.loads(client.recv())["type"] for _ in range(2)] == ["bot-ready", "action-response"]
            assert process.wait(timeout=PATIENCE) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("how", ["KeyboardInterrupt", "SystemExit", "GeneratorExit"])
def test_what_a_plugin_raises_does_not_end_the_process(start: Start, action: Callable[..., str], how: str) -> None:
    """This is true for any exception from any place. A signal still ends the process."""
    with start("wreckers") as running:
        with running.talk() as one, running.talk() as other:
            for number, name in enumerate(["wreck", "wreck_in_thread"]):
                one.send(action(str(number), name, how=how))
                assert json.loads(one.recv(timeout=PATIENCE))["data"]["code"] == "action-failed"
            one.send(action("background", "wreck_in_background", how=how))
            assert json.loads(one.recv(timeout=PATIENCE))["data"] == {"result": True}
            for client in (one, other):
                client.send(action("2", "carry_on"))
                assert json.loads(client.recv(timeout=PATIENCE))["data"] == {"result": True}
        running.signal(signal.SIGINT)
        assert running.ended() == 0


@contextmanager
def speak(running: Running) -> Generator[ClientConnection]:
    """Connect a client with binary frames, and begin a session."""
    with connect(running.post("/connect").json()["ws_url"], proxy=None) as client:
        client.send(encode(READY, 0))
        assert json.loads(str(heard(client)))["type"] == "bot-ready"
        yield client


def heard(client: ClientConnection) -> str | Audio | None:
    """Return the content of the next frame."""
    frame = client.recv(timeout=PATIENCE)
    assert isinstance(frame, bytes), f"{frame!r} is not a binary frame"
    return decode(frame)


def test_binary_frames_are_carried_over_a_socket(start: Start, action: Callable[..., str]) -> None:
    """The conversation uses the frames of the published transport."""
    with start("desk") as running, speak(running) as client:
        client.send(encode(action("1", "add", a=1, b=2), 0))
        assert json.loads(str(heard(client)))["data"] == {"result": 3}
        running.signal()


def test_audio_keeps_its_pitch_over_a_socket(start: Start) -> None:
    """Speech into a 16 kHz microphone sounds the same on a 24 kHz player."""
    with start("parrot") as running, speak(running) as client:
        said = b"".join(struct.pack("<h", round(9000 * math.sin(math.tau * 440 * at / 16_000))) for at in range(16_000))
        for at in range(0, len(said), 640):
            client.send(encode(Audio(said[at : at + 640], 16_000), 0))
        played: list[Audio] = []
        while len(played) < 40:
            item = heard(client)
            played += [item] if isinstance(item, Audio) else []
        samples = array("h", b"".join(each.data for each in played))
        rises = sum(one < 0 <= other for one, other in pairwise(samples))
        assert {(each.rate, each.channels) for each in played} == {(24_000, 1)}
        assert rises / (len(samples) / 24_000) == pytest.approx(440, rel=0.01)
        running.signal()


def test_a_plugin_of_the_operators_is_used(start: Start, tmp_path: Path) -> None:
    """A plugin that adds routes or hooks does not have to be named by the bot."""
    (tmp_path / "hello.py").write_text(HELLO)
    info = tmp_path / "hello-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hello\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rtvi_plugins]\nhello = hello\n[rtvi_plugins.api]\n1 = hello\n")
    with start("desk", "--plugin", "hello", PYTHONPATH=str(tmp_path)) as running:
        assert httpx2.get(f"{running.url}/hello", trust_env=False).text == "hello from desk"
        running.signal()


def test_sessions_are_recorded_where_the_operator_says(start: Start, tmp_path: Path) -> None:
    """The folder is created. After the session, it has a transcript and an audio file."""
    folder = tmp_path / "recordings"
    with start("parrot", "--record", str(folder)) as running:
        with speak(running) as client:
            assert json.loads(str(heard(client)))["type"] == "server-message"  # the bot runs, and is recorded
            client.send(encode(Audio(bytes(6400), 16_000), 0))
            running.signal()
        assert running.ended() == 0
    assert sorted(each.suffix for each in folder.iterdir()) == [".jsonl", ".wav"]


@pytest.mark.parametrize("signals", [1, 2], ids=["after the drain", "at the second signal"])
@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one process", "workers"])
def test_a_session_that_outlasts_the_drain_is_closed(
    start: Start, action: Callable[..., str], options: tuple[str, ...], signals: int
) -> None:
    """Its requests are answered. The client gets the code of a restart, and can connect to the next server."""
    drain = ("--drain-seconds", "0.3" if signals == 1 else "30")
    with start("desk", *drain, *options) as running, running.talk() as client:
        client.send(action("1", "dawdle"))
        client.send(action("2", "add", a=1, b=2))
        while json.loads(client.recv(timeout=PATIENCE)).get("id") != "2":
            pass
        running.signal()
        if signals == 2:
            running.until_draining()
            running.signal()
        answer = json.loads(client.recv(timeout=PATIENCE))
        assert (answer["id"], answer["type"], answer["data"]["code"]) == ("1", "error-response", "session-closed")
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=PATIENCE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        assert running.ended() == 0


def test_a_goodbye_is_played_to_its_end_while_the_process_drains(start: Start, action: Callable[..., str]) -> None:
    """The client gets each of the 100 frames, then the close frame of a session that the bot ended."""
    with start("leaver") as running:
        with speak(running) as client:
            client.send(encode(action("1", "leave"), 0))
            while not isinstance(heard(client), Audio):
                pass
            running.signal()
            assert 1 + frames_until_closed(client) == 100
            assert client.close_code == 1000
            assert client.close_reason == "goodbye"
        assert running.ended() == 0


def frames_until_closed(client: ClientConnection) -> int:
    """Return the number of audio frames until the server closes."""
    frames = 0
    with suppress(ConnectionClosed):
        while True:
            frames += isinstance(heard(client), Audio)
    return frames


def test_what_http_requests_wait_for_at_the_end_is_answered(start: Start) -> None:
    """Single-turn actions are answered under their ids, and an incomplete body is refused. The log has no traceback."""
    waits = {"label": "rtvi-ai", "type": "action", "id": "1", "data": {"service": "bot", "action": "dawdle"}}
    body = json.dumps({"actions": [waits]}).encode()
    head = b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n"
    with start("desk", "--drain-seconds", "0") as running, ExitStack() as held:
        address = ("127.0.0.1", int(running.url.rpartition(":")[2]))
        asking, sending = (held.enter_context(socket.create_connection(address, timeout=PATIENCE)) for _ in range(2))
        sending.sendall(head % (b"/start", 10) + b"{")
        asking.sendall(head % (b"/action", len(body)) + body)
        while httpx2.get(f"{running.url}/health", trust_env=False).json()["open_sessions"] == 0:
            pass
        running.signal()
        assert b'"draining"' in everything(sending)
        answer = everything(asking)
        assert b'"id":"1"' in answer
        assert b'"session-closed"' in answer
        assert running.ended() == 0
        assert running.process.stderr is not None
        assert "Traceback" not in running.process.stderr.read()


@pytest.mark.parametrize(
    ("bot", "named"), [("stubborn", "the service 'llm' (stubborn)"), ("deaf", "a bot or an action")]
)
def test_what_does_not_end_is_left_and_named(start: Start, bot: str, named: str) -> None:
    """A restart does not wait for it, and the log says which code was responsible."""
    options = ["--drain-seconds", "0", "--limit", "close_seconds=0.2"]
    with start(bot, *options) as running:
        with running.talk():
            running.signal()
            assert running.process.wait(timeout=PATIENCE) == 0
        assert running.process.stderr is not None
        stderr = running.process.stderr.read()
        assert f"abandoned 1 sessions: {named} did not end when it was cancelled" in stderr
        assert ("has not closed within 0.2 s, and is cancelled" in stderr) == (bot == "stubborn")


def test_a_stuck_thread_does_not_hold_up_the_end(start: Start, action: Callable[..., str]) -> None:
    """The thread was abandoned at its action's deadline, and a restart does not wait for it."""
    with start("desk") as running:
        with running.talk() as client:
            client.send(action("1", "stall"))
            assert "action-timeout" in str(client.recv(timeout=PATIENCE))
        running.signal()
        assert running.ended() == 0


@pytest.mark.parametrize(("drain", "most"), [("3600", ", at most 3600 s"), ("inf", "")])
def test_a_second_signal_ends_at_once(start: Start, drain: str, most: str) -> None:
    """After a second signal, the process does not wait for the drain."""
    with start("desk", "--drain-seconds", drain) as running, running.talk() as client:
        running.signal()
        running.until_draining()
        running.signal()
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=PATIENCE)
        assert running.ended() == 0
        assert running.process.stderr is not None
        expected = f"Waiting for 1 session to end{most}; press Ctrl-C again to end it now.\n"
        assert running.process.stderr.read() == expected


def test_a_refused_handshake_is_readable(start: Start) -> None:
    """A client outside of browsers can read the status and the reason."""
    with start("desk") as running:
        address = running.url.replace("http", "ws") + "/ws?token=unknown"
        with pytest.raises(InvalidStatus) as refused, connect(address, proxy=None):
            raise AssertionError("the handshake succeeded")
        assert refused.value.response.status_code == 401
        assert json.loads(refused.value.response.body)["error"] == "unknown-session"
        running.signal()
        assert running.ended() == 0


def test_a_body_that_is_too_long_is_answered_over_a_socket_too(start: Start) -> None:
    """The connection stays open until the client can read the reason."""
    with start("desk") as running:
        response = running.post("/start", content=b" " * 4_000_000)
        assert (response.status_code, response.json()["error"]) == (413, "message-too-large")


@pytest.mark.parametrize("secret", ["geheimes-Schloß", "one\ntwo"])
def test_a_secret_that_no_header_can_carry_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], secret: str
) -> None:
    """Otherwise every start with it would be refused."""
    monkeypatch.setenv("RTVI_OPERATOR_SECRET", secret)
    assert run([f"{DESK}:office"]) == USAGE
    printed = capsys.readouterr().err
    assert "RTVI_OPERATOR_SECRET has characters that an HTTP header cannot carry." in printed
    assert secret not in printed


def test_a_secret_that_can_be_guessed_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sentence says how to make another one."""
    monkeypatch.setenv("RTVI_OPERATOR_SECRET", "fifteen-letters")
    assert run([f"{DESK}:office"]) == USAGE
    expected = (
        "rtvi: The operator's secret has 15 characters, so it can be guessed. It needs 16 or more. Make one: openssl "
        "rand -hex 32\n"
    )
    assert capsys.readouterr().err == expected


def test_an_empty_secret_is_none(start: Start) -> None:
    """A file with an empty line gives such a secret."""
    with start("office", RTVI_OPERATOR_SECRET=" \n") as running:
        assert "secret" not in running.line
        running.signal()
        assert running.process.stderr is not None
        assert "RTVI_OPERATOR_SECRET is not set" in running.process.stderr.read()


def test_the_operators_secret_comes_from_the_environment(start: Start) -> None:
    """A trusted start has it in a header, which has no white space around it."""
    with start("office", RTVI_OPERATOR_SECRET="secret-of-a-test\n") as running:
        assert running.post("/start").status_code == 401
        assert running.post("/start", headers={"x-rtvi-operator-secret": "secret-of-a-test"}).status_code == 200
        assert "and the operator's secret" in running.line
        assert "browser" not in running.line
        running.signal()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [(["--dev"], "every client is granted everything but service options"), ([], "RTVI_OPERATOR_SECRET is not set")],
)
def test_who_may_start_is_said_at_the_start(start: Start, options: list[str], sentence: str) -> None:
    """The log has a sentence for a bot that grants everything, and for a bot that no client can start."""
    with start("office", *options) as running:
        running.signal()
        assert running.process.stderr is not None
        assert sentence in running.process.stderr.read()
        assert ("open it in a browser" in running.line) == ("--dev" in options)


@pytest.mark.parametrize(
    ("options", "tells"),
    [([], False), (["--dev"], True), (["--dev", "--log-level", "info"], False), (["--traceback"], True)],
)
def test_what_a_bot_raises_is_told_to_its_author(
    start: Start, action: Callable[..., str], options: list[str], tells: bool
) -> None:
    """With text and trace in development and where they are asked for; else with the option that tells them."""
    with start("desk", *options) as running:
        with running.talk() as client:
            client.send(action("1", "stumble"))
            assert "action-failed" in str(client.recv(timeout=PATIENCE))
        running.signal()
        assert running.process.stderr is not None
        stderr = running.process.stderr.read()
        assert ("ValueError: a text of the author's" in stderr) == tells
        assert ("raised ValueError (--traceback shows why)" in stderr) != tells


def test_a_library_of_sound_that_is_missing_is_told_with_what_brings_it() -> None:
    """The error is the same as when the server was installed without its dependencies."""
    script = (
        "import sys; sys.modules['soxr'] = None; from rtvi_plugins.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", script, "run", f"{DESK}:desk"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (USAGE, "")
    hint = 'in the checkout of rtvi-plugins, run: pip install ".[voice]"'
    assert done.stderr == f"rtvi: soxr is not installed; {hint}\n"


def test_a_foreign_name_for_this_machine_is_refused(start: Start) -> None:
    """Pages can reach a server on loopback through a domain that points to it. The server recognises the name."""
    with start("desk") as running:
        response = running.post("/start", headers={"host": "rebound.example"})
        assert (response.status_code, response.json()["error"]) == (421, "host-refused")


def test_no_token_stands_in_the_log(start: Start) -> None:
    """No other line of uvicorn below a warning is in the log either, whatever the log's level."""
    with start("desk", "--log-level", "debug") as running:
        with running.talk():
            running.signal()
        assert running.ended() == 0
        assert running.process.stderr is not None
        assert "token" not in running.process.stderr.read()


@pytest.mark.parametrize("options", [[], ["--dev"], ["--log-level", "debug"], ["--dev", "--log-level", "debug"]])
def test_the_log_shows_no_secret_and_no_forged_line(
    start: Start, action: Callable[..., str], options: list[str]
) -> None:
    """Whatever the bot and its libraries log, raise and warn of, with what a client sends in it."""
    key, secret = "sk-acme-4711aBcDeFgHiJkL", "operator-4711-secret"
    leaky, forged = DESK.with_name("leaky.py"), "a\nERROR rtvi_plugins: forged\x1b[2J\u202e\x85"
    with start(f"{leaky}:leaky", *options, ACME_API_KEY=key, RTVI_OPERATOR_SECRET=secret) as running:
        with running.talk() as client:
            for number, name in enumerate(["say", "fail", "misreport"]):
                client.send(action(str(number), name, text=forged))
                assert json.loads(client.recv(timeout=PATIENCE))["id"] == str(number)
        started = running.post("/start", json={"defaults": key}, headers={"x-rtvi-operator-secret": secret})
        assert started.json()["error"] == "invalid-start"
        running.signal()
        assert running.process.stderr is not None
        log = running.process.stderr.read()
    assert "acme.client: a\\nERROR rtvi_plugins: forged\\x1b[2J\\u202e\\x85: …, {'key': '…'}" in log
    assert not [
        each
        for each in (key, secret, "PASSWORD", "\x1b", "\u202e", "\x85", "\nERROR rtvi_plugins: forged")
        if each in log
    ]
    assert "httpx2: GET" not in log


@pytest.mark.parametrize("proxy", [[], ["--proxy", "127.0.0.1"]])
def test_a_public_url_without_a_proxy_gets_a_hint(start: Start, proxy: list[str]) -> None:
    """All clients would count as one address, so limits per address would not work."""
    with start("desk", "--public-url", "https://bots.example", *proxy) as running:
        running.signal()
        assert running.process.stderr is not None
        assert ("Name the proxy's address with --proxy" in running.process.stderr.read()) == (not proxy)
