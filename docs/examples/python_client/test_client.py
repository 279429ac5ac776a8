"""The program runs against a real server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from processes import rtvi_run

HERE = Path(__file__).parent


def test_the_program_does_what_it_says() -> None:
    """Its output is that of the page."""
    with rtvi_run(HERE.parent / "clients" / "bot.py") as server:
        command = [sys.executable, str(HERE / "client.py"), server]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 0, done.stderr
    *lines, pieces = done.stdout.splitlines()
    assert lines == [
        "revision 2",
        "A-2",
        "invalid-arguments ['$.data.arguments[0].value']",
        "I am Ada, a rule-based replacement for a language model.",
    ]
    assert pieces == "I |am |Ada, |a |rule-based |replacement |for |a |language |model.|"
