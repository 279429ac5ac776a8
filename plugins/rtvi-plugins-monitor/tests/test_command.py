"""`rtvi top`, against a server of a real process."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from rtvi_plugins.cli import FAILED, OK, USAGE, guarded
from rtvi_plugins_monitor.command import top

BOT = """\
from rtvi_plugins import Session, bot

@bot(services={}, public=True)
async def quiet(session: Session, /) -> None:
    "Says nothing."
"""


@contextmanager
def serving(path: Path) -> Generator[str]:
    """Serve a bot in a process of its own, and yield its address."""
    command = [sys.executable, "-m", "rtvi_plugins", "run", str(path), "--port", "0", "--dev", "--no-reload"]
    with subprocess.Popen([*command, "--plugin", "monitor"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert found is not None
            yield found[0]
        finally:
            process.terminate()


@pytest.mark.slow
def test_it_shows_the_sessions_of_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also the one that waits for its client."""
    path = tmp_path / "bot.py"
    path.write_text(BOT)
    with serving(path) as url:
        assert httpx2.post(f"{url}/start", json={}).status_code == 200
        assert guarded(lambda: top([url])) == OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 sessions, load 0.00"
    assert lines[1].split() == "session age client turns cut running voice to voice errors providers".split()
    assert lines[2].split()[1:] == ["0:00", "-", "0", "0", "0", "-", "-", "-"]


@pytest.mark.parametrize(
    ("argv", "code", "sentence"),
    [
        (["127.0.0.1:7860"], USAGE, "'127.0.0.1:7860' is no address; write http://127.0.0.1:7860."),
        (["http://127.0.0.1:7860", "--every", "0"], USAGE, "'0' is not a time"),
        (["http://127.0.0.1:7860", "--secret-env", "NO_SUCH"], USAGE, "variable NO_SUCH is not set"),
    ],
)
def test_a_mistake_is_answered_by_a_sentence(
    capsys: pytest.CaptureFixture[str], argv: list[str], code: int, sentence: str
) -> None:
    """It says what to write instead."""
    assert guarded(lambda: top(argv)) == code
    assert sentence in capsys.readouterr().err


def test_nobody_at_the_address_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence, and the exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    assert guarded(lambda: top([url])) == FAILED
    assert f"No server can be reached at {url}" in capsys.readouterr().err
