"""`rtvi run --dev` starts again when the bot's files change. The tests use a real process, a session and files."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import TypeAlias

import httpx2
import pytest
from attrs import define
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from rtvi_plugins_server._reload import Report

pytestmark = pytest.mark.slow

RUN = [sys.executable, "-m", "rtvi_plugins", "run"]
READY = '{"label": "rtvi-ai", "type": "client-ready", "id": "0", "data": {}}'
BOT = """
from rtvi_plugins import LLM, Session, bot, converse

from menu import SOUP


@bot(services={"llm": "echo"})
async def waiter(session: Session, /, llm: LLM) -> None:
    await converse(session, llm=llm, greeting=SOUP)
"""
FILE = """
name = "porter"
greeting = "Good morning."
services = { llm = "echo" }
"""


@define
class Running:
    """A process with `rtvi run --dev`, and the folder of its bot."""

    process: subprocess.Popen[str]
    folder: Path
    url: str = ""

    def until(self, words: str) -> str:
        """Return the next line of output with these words."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if words in line:
                return line
        raise AssertionError(f"it ended without {words!r}")

    def ready(self) -> None:
        """Wait until it serves."""
        found = re.search(r"http://127\.0\.0\.1:\d+", self.until("RTVI bot"))
        assert found is not None
        self.url = found[0]

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, "utf-8")

    def greeting(self) -> str:
        """Return the first words of a new session."""
        response = httpx2.post(f"{self.url}/connect", trust_env=False)
        with connect(response.json()["ws_url"], proxy=None) as client:
            client.send(READY)
            while (message := json.loads(client.recv(timeout=20)))["type"] != "bot-transcription":
                pass
            return str(message["data"]["text"])


Start: TypeAlias = Callable[..., AbstractContextManager[Running]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start `rtvi run --dev` with the bot's file."""

    @contextmanager
    def begin(bot: str, **files: str) -> Generator[Running]:
        for name, text in files.items():
            (tmp_path / name.replace("__", ".")).write_text(text, "utf-8")
        argv: Sequence[str] = [*RUN, bot, "--dev", "--port", "0"]
        with subprocess.Popen(
            argv, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            try:
                yield Running(process, tmp_path)
            finally:
                process.kill()

    return begin


@pytest.mark.parametrize("target", ["written_bot.py", "written_bot.py:waiter", "written_bot:waiter"])
def test_the_files_of_a_bot_are_those_that_it_imports(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its own folder, and nothing that is installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    for name in ("written_bot", "written_menu", "written_other"):
        Path(f"{name}.py").write_text("import written_menu\n" if name == "written_bot" else "", "utf-8")
    import_module("written_bot")
    report = Report(tmp_path / "report.json")
    report.loaded(target)
    report.serving(1234)
    read = Report.read(tmp_path / "report.json")
    assert {Path(each).name for each in read.files} == {"written_bot.py", "written_menu.py"}
    assert read.port == 1234


def test_a_change_starts_it_again(start: Start) -> None:
    """Sessions are closed as at a restart, the address stays, and new sessions use the new bot."""
    with start("bot.py", bot__py=BOT, menu__py='SOUP = "Tomato soup."\n') as running:
        running.ready()
        url = running.url
        assert running.greeting() == "Tomato soup."
        response = httpx2.post(f"{url}/connect", trust_env=False)
        with connect(response.json()["ws_url"], proxy=None) as client:
            client.send(READY)
            running.write("unrelated.py", "1 / 0\n")
            running.write("menu.py", 'SOUP = "Onion soup."\n')
            with pytest.raises(ConnectionClosed):
                deque(client, maxlen=0)  # all messages until it is closed
            assert client.close_code == 1012
        running.ready()
        assert running.url == url
        assert running.greeting() == "Onion soup."
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(20) == 0


def test_a_mistake_is_shown_and_mended(start: Start) -> None:
    """The process waits for the next change."""
    with start("bot.py", bot__py=BOT, menu__py='SOUP = "Tomato soup."\n') as running:
        running.ready()
        running.write("menu.py", "SOUP = \n")
        assert "SyntaxError" in running.until("cannot be imported")
        running.until("Waiting until the bot's files change.")
        running.write("menu.py", 'SOUP = "Leek soup."\n')
        running.ready()
        assert running.greeting() == "Leek soup."
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(20) == 0


def test_a_bot_file_counts_too(start: Start) -> None:
    """A signal ends the process while it waits."""
    with start("porter.toml", porter__toml=FILE) as running:
        running.ready()
        running.write("porter.toml", FILE.replace("morning", "evening"))
        running.ready()
        assert running.greeting() == "Good evening."
        running.write("porter.toml", FILE.replace("services", "serviecs"))
        running.until("did you mean 'services'?")
        running.until("Waiting until the bot's files change.")
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(20) == 0


STUBBORN = """
import signal, sys

def end(number, frame):
    print("interrupted", flush=True)
    sys.exit()

signal.signal(signal.SIGTERM, end)
print("started", flush=True)
sys.stdin.read()
print("asked", flush=True)
signal.pause()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
def test_a_restart_that_takes_long_can_be_interrupted(tmp_path: Path) -> None:
    """The signal reaches the old server, which ends at once. No other server is started."""
    command, roots = [sys.executable, "-c", STUBBORN], [str(tmp_path)]
    program = f"import sys; from rtvi_plugins_server._reload import supervise; sys.exit(supervise({command}, {roots}))"
    with subprocess.Popen(
        [sys.executable, "-c", program], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        running = Running(process, tmp_path)
        try:
            running.until("started")
            running.write("menu.py", "")
            running.until("asked")
            process.send_signal(signal.SIGINT)
            running.until("interrupted")
            assert process.stdout is not None
            assert "started" not in process.stdout.read()
            assert process.wait(20) == 0
        finally:
            process.kill()


STARTING = """
import sys, threading
from rtvi_plugins_server import _reload

child = "import threading; print('started', flush=True); threading.Event().wait(600)"
_reload.supervise([sys.executable, "-c", child], sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
def test_ctrl_c_ends_a_server_that_starts_without_a_traceback(tmp_path: Path) -> None:
    """The child does not handle signals yet."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTING, str(tmp_path)], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            Running(process, tmp_path).until("started")
            process.send_signal(signal.SIGINT)
            assert process.stdout is not None
            assert process.stdout.read() == ""
            assert process.wait(20) == 0
        finally:
            process.kill()


WRITES = """
import subprocess, sys
from pathlib import Path
from rtvi_plugins_server import _reload

class Popen(subprocess.Popen):
    def __init__(self, *args, **kwargs):
        menu = Path(sys.argv[1], "menu.py")
        if not menu.exists():
            menu.write_text("")
        super().__init__(*args, **kwargs)

subprocess.Popen = Popen
_reload.supervise([sys.executable, "-c", "import sys; print('started', flush=True); sys.stdin.read()"], sys.argv[1:])
"""


def test_a_change_while_the_server_starts_counts(tmp_path: Path) -> None:
    """The file is written immediately after the first server was started."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITES, str(tmp_path)], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            running = Running(process, tmp_path)
            running.until("Restarting")
            running.until("started")
        finally:
            process.kill()


def test_a_mistake_at_the_start_ends_it(start: Start) -> None:
    """Its exit code is that of a mistake."""
    with start("bot.py", bot__py="def\n") as running:
        assert "SyntaxError" in running.until("cannot be imported")
        assert running.process.wait(20) == 2


def test_the_server_ends_with_the_process_that_watches(start: Start) -> None:
    """The port becomes free, even if the watching process was killed."""
    with start("porter.toml", porter__toml=FILE) as running:
        running.ready()
        running.process.kill()
        assert running.process.stdout is not None
        running.process.stdout.read()  # until the last process with this output has ended
        with pytest.raises(httpx2.TransportError):
            httpx2.get(f"{running.url}/health", trust_env=False)
