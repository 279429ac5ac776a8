"""The console in a real terminal: editing, history, completion, colours, and the state of the terminal afterwards."""

from __future__ import annotations

import os
import re
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import define

if sys.platform == "win32":
    pytest.skip("there is no readline", allow_module_level=True)

import pty
import termios

BOT = str(Path(__file__).with_name("test_cli.py")) + ":parrot"
#: How long a test waits for what must come, in seconds.
PATIENCE = 30.0
PROMPT = r"> (\x1b\[0m)?$"

pytestmark = pytest.mark.slow


@define(eq=False)
class Terminal:
    """The other end of a terminal."""

    file: int
    process: subprocess.Popen[bytes]

    def type(self, keys: str, until: str) -> str:
        """Press keys. Return what is shown until it ends with a pattern."""
        os.write(self.file, keys.encode())
        return self.until(until)

    def until(self, pattern: str) -> str:
        shown, end = "", time.monotonic() + PATIENCE
        while not re.search(pattern, shown):
            assert time.monotonic() < end, shown
            if select.select([self.file], [], [], 0.1)[0]:
                try:
                    shown += os.read(self.file, 65_536).decode()
                except OSError:  # the process has closed its end
                    break
        return shown


@contextmanager
def console(folder: Path, *words: str, **environment: str) -> Generator[Terminal]:
    """Run the console in a terminal, with the history in a folder."""
    ours, theirs = pty.openpty()
    plain = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    env = {**plain, "TERM": "xterm", "XDG_STATE_HOME": str(folder), **environment}
    command = [sys.executable, "-m", "rtvi_plugins", "console", BOT, *words]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env) as process:
        try:
            yield Terminal(ours, process)
            process.wait(PATIENCE)
            assert termios.tcgetattr(theirs)[3] & termios.ECHO, "the terminal does not show what is typed"
        finally:
            process.kill()
            os.close(theirs)
            os.close(ours)


def test_lines_are_edited_completed_and_repeated(tmp_path: Path) -> None:
    """Tab completes. The arrow keys fetch earlier lines, also in the next console."""
    with console(tmp_path) as terminal:
        terminal.until(PROMPT)
        assert "/call bot:greet name=" in terminal.type("/ca\tbot:gr\tn\t", "name=$")
        assert "Hello Ada." in terminal.type("Adx\x7fa\n", PROMPT)
        assert "times=2" in terminal.type("/set llm.ti\t2\n", PROMPT)
        terminal.type("\x04", "")
    assert terminal.process.returncode == 0
    history = tmp_path / "rtvi" / "console_history"
    assert history.read_text().splitlines()[-2:] == ["/call bot:greet name=Ada", "/set llm.times=2"]
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    with console(tmp_path) as terminal:
        terminal.until(PROMPT)
        assert "Hello Ada." in terminal.type("\x1b[A\x1b[A\n", PROMPT)
        terminal.type("/quit\n", "")
    assert terminal.process.returncode == 0


def test_ctrl_c_gives_the_terminal_back(tmp_path: Path) -> None:
    """A line is still being read at that moment."""
    with console(tmp_path) as terminal:
        terminal.until(PROMPT)
        terminal.type("hal", "hal$")
        terminal.process.send_signal(signal.SIGINT)
    assert terminal.process.returncode == 130


@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colours_are_used_where_they_are_wanted(tmp_path: Path, environment: dict[str, str], coloured: bool) -> None:
    """The terminal must have colours, and NO_COLOR must not be set."""
    with console(tmp_path, **environment) as terminal:
        shown = terminal.until(PROMPT) + terminal.type("/nothing\n", PROMPT)
        terminal.type("/quit\n", "")
    assert "! There is no command '/nothing'." in shown
    assert ("\x1b[31m! There" in shown) is coloured
    assert ("\x1b[" in re.sub(r"\x1b\[\?2004[hl]", "", shown)) is coloured
