"""The clients of the page "Connect a client" in Chromium: they work as they are on the page."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from ..tools.processes import environment, running
from .chromium import Browser, Page
from .speech import say

pytestmark = pytest.mark.timeout(120)

BOT = Path(__file__).parents[2] / "docs" / "examples" / "voice_bot" / "bot.py"
#: How long the voice may take to start, in seconds.
SPEAKS_WITHIN = 10.0


@pytest.fixture(scope="module")
def bot(browser: Browser) -> Generator[str]:
    """Return the address of the bot on the page."""
    # A page that is closed leaves its session to a timeout, for which the server must not wait at the end.
    options = ("--dev", "--port", "0", "--origin", browser.pages, "--plugin", "webrtc", "--drain-seconds", "0")
    command = [sys.executable, "-m", "rtvi_plugins", "run", str(BOT), *options]
    with running(command, r"(http://127\.0\.0\.1:\d+)", env=environment(PYTHONUNBUFFERED="1")) as process:
        yield process.matched


@pytest.mark.parametrize("page", ["voice.html", "App.jsx"])
def test_a_copied_client_talks(browser: Browser, bot: str, page: str) -> None:
    """It greets, understands speech, and answers aloud. After hanging up, it connects again."""
    client = browser.open(f"{browser.pages}/{page}", bot=bot)
    try:
        for _ in range(2):
            since = client.now()
            client.element("button >> text=Talk", "click")
            wait_for_sound(client, since)
            client.until_silent(1000)
            since = client.now()
            client.speak(say("What is three plus four?"))
            client.element("li:has-text('That is 7.') >> nth=-1", "waitFor")
            wait_for_sound(client, since)
            client.element("button >> text=Hang up", "click")
            client.element("p:has-text('disconnected')", "waitFor")
        assert client.complaints() == []
    finally:
        client.close()


def wait_for_sound(client: Page, since: float) -> None:
    """Wait until the page plays something."""
    deadline = time.monotonic() + SPEAKS_WITHIN
    while not any(tape.loud().size for tape in client.played(since).tapes):
        assert time.monotonic() < deadline, f"the page plays nothing: {client.element('body', 'innerText')}"
        time.sleep(0.1)


def test_the_page_with_webrtc_plays_the_greeting(browser: Browser, bot: str) -> None:
    """It connects and plays the bot's audio track."""
    client = browser.open(f"{browser.pages}/webrtc.html", bot=bot)
    try:
        client.element("#talk", "click")
        wait_for_sound(client, 0)
        assert client.complaints() == []
    finally:
        client.close()


@pytest.mark.parametrize("page", ["voice.html", "App.jsx"])
def test_a_start_that_fails_is_shown(browser: Browser, page: str) -> None:
    """The page shows an error, and the user can try again."""
    client = browser.open(f"{browser.pages}/{page}", bot="http://127.0.0.1:9")
    try:
        client.element("button >> text=Talk", "click")
        client.element("li:has-text('Error:')", "waitFor")
        client.element("button:not([disabled]) >> text=Talk", "waitFor")
    finally:
        client.close()
