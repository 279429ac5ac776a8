"""Our own page resumes its session after the server process was killed."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from ..tools.processes import environment, running
from .bot import ANSWERS
from .calls import visiting, write
from .chromium import Browser

pytestmark = pytest.mark.timeout(120)

BOT = Path(__file__).parent / "bot.py"
FIRST, SECOND = list(ANSWERS)[4:6]


def test_a_call_survives_the_kill_of_its_server(browser: Browser, tmp_path: Path) -> None:
    """The page says that it connects again, and shows the conversation, which continues. The bot remembers it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "rtvi_plugins",
        "run",
        BOT,
        "--port",
        str(port),
        "--drain-seconds",
        "0",
    ]
    command += ["--resume", tmp_path / "sessions.db"]
    url, env = r"(http://127\.0\.0\.1:\d+)", environment(PYTHONUNBUFFERED="1")
    with running(command, url, env=env) as first, visiting(browser, first.matched) as call:
        write(call, FIRST)
        os.kill(first.pid, signal.SIGKILL)
        call.state("connecting")
        with running(command, url, env=env):
            call.state("listening")
            write(call, SECOND)
            for question in (FIRST, SECOND):
                assert call.says("user", question).strip() == question
                assert call.says("bot", ANSWERS[question]).strip() == ANSWERS[question]
            assert not call.page.element("#error", "isVisible")
