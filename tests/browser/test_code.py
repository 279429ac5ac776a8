"""Each program that the page shows for an action and an option runs, and does the same as the form."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator
from typing import Any, cast

import pytest
from websockets.sync.client import connect

from .calls import visiting
from .chromium import Browser, Page

pytestmark = pytest.mark.timeout(120)

#: A text with everything that a shell, JavaScript or Python could read as its own.
HARD = """it's "$HOME" `x` \\n \\\\ ü😀"""


@pytest.fixture(scope="module")
def page(browser: Browser, server: str) -> Generator[Page]:
    """Open the page, before a call."""
    page = browser.open(f"{server}/")
    page.element("#options [name=politely]", "waitFor")
    yield page
    page.close()


@pytest.fixture
def runner(browser: Browser) -> Generator[Page]:
    """Open a page of another origin that may use the server.

    Its errors are not checked: the published client raises one if it is disconnected while it lists the microphones.
    """
    page = browser.open(browser.pages)
    yield page
    page.close()


def program(page: Page, within: str, language: str) -> str:
    """Return a program as a user copies it."""
    if page.element(f"{within} .code-button", "getAttribute", "aria-expanded") == "false":
        page.element(f"{within} .code-button", "click")
    page.element(f"{within} .usage [data-language={language}]", "click")
    page.element(f"{within} .usage button >> text=Copy", "click")
    page.element(f"{within} .usage .status:has-text('Copied')", "waitFor")
    return str(page.call("navigator.clipboard.readText"))


def run(command: list[str]) -> str:
    """Run a program, and return what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- an action -------------------------------------------------------------------------------------------------

SAY = "#action-bot-repeat"


@pytest.fixture
def say(page: Page) -> str:
    """Fill in the form of an action."""
    page.element("#tab-actions", "click")
    if page.element(SAY, "getAttribute", "open") is None:
        page.element(f"{SAY} > summary", "click")
    page.element(f"{SAY} [name=text]", "fill", HARD)
    page.element(f"{SAY} [name=times]", "fill", "2")
    return SAY


def test_the_command_calls_the_action(page: Page, say: str) -> None:
    """It needs no client."""
    answer = json.loads(run(["sh", "-c", program(page, say, "curl")]))
    assert (answer["type"], answer["data"]["result"]) == ("action-response", [HARD, HARD])


def test_the_python_program_calls_the_action(page: Page, say: str) -> None:
    """It uses our client."""
    assert run([sys.executable, "-c", program(page, say, "Python")]).strip() == str([HARD, HARD])


def test_the_javascript_program_calls_the_action(page: Page, say: str, runner: Page) -> None:
    """It uses the published client."""
    assert [[HARD, HARD]] in runner.run(program(page, say, "JavaScript"))


# ---- an option -------------------------------------------------------------------------------------------------

POLITELY = "#options .whole-field:has([name=politely])"


@pytest.fixture
def politely(page: Page) -> str:
    """Fill in the field of an option."""
    page.element("#tab-options", "click")
    page.element("#options [name=politely]", "fill", HARD)
    return POLITELY


def test_the_command_starts_a_session_with_the_option(page: Page, politely: str) -> None:
    """The response has the token of the session, which is used here, so that no session stays."""
    command = program(page, politely, "curl")
    started = json.loads(run(["sh", "-c", command]))
    with connect(f"{started['wsUrl']}?token={started['token']}") as socket:
        socket.send(json.dumps({"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": {"version": "2.1.0"}}))
        assert json.loads(socket.recv(timeout=10))["type"] == "bot-ready"
    refused = json.loads(run(["sh", "-c", command.replace('"politely"', '"polite"')]))
    assert refused["error"] == "unknown-option"


def test_the_python_program_sets_the_option(page: Page, politely: str) -> None:
    """It prints the new config."""
    printed = run([sys.executable, "-c", program(page, politely, "Python")])
    assert repr(HARD) in printed
    assert "revision=2" in printed


def test_the_javascript_program_sets_the_option(page: Page, politely: str, runner: Page) -> None:
    """It prints the new config."""
    printed = runner.run(program(page, politely, "JavaScript"))
    lines = (each for line in printed for each in line)
    config = next(cast("dict[str, Any]", each) for each in lines if isinstance(each, dict) and "revision" in each)
    values = {option["name"]: option["value"] for each in config["config"] for option in each["options"]}
    assert (config["revision"], values["politely"]) == (2, HARD)


def test_a_form_that_is_not_filled_in_gives_an_example(page: Page) -> None:
    """The program can be run as it is."""
    page.element("#tab-actions", "click")
    page.element("#action-tts-say > summary", "click")
    assert '"arguments":{"text":"text"}' in program(page, "#action-tts-say", "curl")


# ---- the other things that a user takes away ---------------------------------------------------------------------


def test_the_transcript_is_saved_as_a_text(browser: Browser, server: str) -> None:
    """It has both sides, with the time since the beginning."""
    with visiting(browser, server) as call:
        assert call.page.element("#save", "isDisabled")
        call.write("Will it rain tomorrow?")
        call.says("bot", "Tomorrow will be dry and sunny.")
        call.state("listening")
        name, text = call.page.download("#save")
    title, _, user, bot, *rest = text.splitlines()
    assert name.startswith("hotel-")
    assert name.endswith(".txt")
    assert title.startswith("hotel, 20")
    assert user.endswith("] You: Will it rain tomorrow?")
    assert bot.endswith("] Bot: Tomorrow will be dry and sunny.")
    assert rest == []
