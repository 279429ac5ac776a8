"""A browser and a server process, which all the tests of this folder share."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from ..tools.processes import environment, running
from .chromium import Browser, browsing

BOT = Path(__file__).parent / "bot.py"


@pytest.fixture(scope="package")
def browser() -> Generator[Browser]:
    """Run a browser."""
    with browsing() as found:
        yield found


@pytest.fixture(scope="package")
def server(browser: Browser) -> Generator[str]:
    """Return the address of a server process with the porter, which accepts the page of the published clients."""
    # A test may leave a session that nobody claims. The server must not wait for it at the end.
    options = ("--port", "0", "--origin", browser.pages, "--drain-seconds", "0")
    command = [sys.executable, "-m", "rtvi_plugins", "run", str(BOT), *options]
    with running(command, r"(http://127\.0\.0\.1:\d+)", env=environment(PYTHONUNBUFFERED="1")) as process:
        yield process.matched
