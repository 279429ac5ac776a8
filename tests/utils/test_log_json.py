"""The log as JSON: one object per line, without secrets, with the session and the error code of each record."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Generator
from datetime import datetime, timedelta
from typing import Any

import anyio.lowlevel
import pytest

from rtvi_plugins import Secret, Session, action, bot
from rtvi_plugins.cli import OK, guarded, log_to_stderr
from rtvi_plugins.errors import Busy, report
from rtvi_plugins.security import JsonLogFormatter

from ..fakes.wire import connected

KEY = "sk-test-4711aBcDeFgHiJkLmNoPqRsTuV"


@pytest.fixture
def stream() -> Generator[io.StringIO]:
    """What the root logger's handler writes while a test runs."""
    stream, root = io.StringIO(), logging.getLogger()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLogFormatter())
    root.addHandler(handler)
    yield stream
    root.removeHandler(handler)


def records(stream: io.StringIO) -> list[dict[str, Any]]:
    """The lines that were written."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_one_object_without_secrets(stream: io.StringIO) -> None:
    """It has the time, and the traceback in a field."""
    _secret = Secret(KEY)
    try:
        raise RuntimeError(f"{KEY}\nforged")
    except RuntimeError:
        logging.getLogger("a.library").exception("GET ?key=%s\n\x1b[2J", KEY)
    logging.getLogger("a.library").warning("plain", extra={"session": f"s-{KEY}", "code": "busy"})
    [failed, plain] = records(stream)
    assert KEY not in stream.getvalue()
    assert datetime.fromisoformat(failed["time"]).utcoffset() == timedelta(0)
    assert (failed["level"], failed["logger"]) == ("ERROR", "a.library")
    assert failed["message"] == r"GET ?key=…\n\x1b[2J"
    assert failed["exception"].splitlines()[-1] == r"RuntimeError: …\nforged"
    assert set(failed) == {"time", "level", "logger", "message", "exception"}
    assert (plain["session"], plain["code"]) == ("s-…", "busy")


def test_a_report_has_the_code_of_its_error(stream: io.StringIO) -> None:
    """This is for errors that clients can receive."""
    report("a bot", Busy("later"))
    assert records(stream)[0]["code"] == "busy"


library = logging.getLogger("a.library")


async def in_a_task() -> None:
    """Log in a task that the bot has started."""
    library.warning("task")


@bot(services={}, client=["bot:async_action", "bot:blocking_action"])
async def clerk(session: Session, /) -> None:
    """A bot that logs at the start of the session."""
    library.warning("bot")
    session.start_soon(in_a_task)


@action(clerk)
async def async_action() -> None:
    """Log in the event loop."""
    library.warning("action")


@action(clerk)
def blocking_action() -> None:
    """Log in a thread."""
    library.warning("thread")


@pytest.mark.anyio
async def test_what_runs_in_a_session_logs_its_id(stream: io.StringIO) -> None:
    """These are the bot, its tasks and its actions, with any logger. Other code logs no id."""
    async with connected(clerk) as wire:
        await wire.result(wire.call("bot:async_action"))
        blocking = wire.call("bot:blocking_action")
        while not wire.answers(blocking):
            await anyio.lowlevel.checkpoint()
        library.warning("outside")
        id = wire.connection.id
    found = {each["message"]: each.get("session") for each in records(stream) if each["logger"] == library.name}
    assert found == {"bot": id, "task": id, "action": id, "thread": id, "outside": None}


def test_exceptions_of_threads_are_records(capsys: pytest.CaptureFixture[str]) -> None:
    """Python would write them as text."""

    def run() -> int:
        log_to_stderr("info", "json")
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
        return OK

    root = logging.getLogger()
    before, root.handlers = root.handlers, []
    try:
        assert guarded(run) == OK
    finally:
        root.handlers = before
        logging.captureWarnings(capture=False)
    [record] = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert record["message"] == "an exception (in a thread)"
    assert "ZeroDivisionError" in record["exception"]
