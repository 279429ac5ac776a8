"""The log has no secret, no forged line and no control character, whatever a library logs."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins import Secret
from rtvi_plugins.cli import guarded
from rtvi_plugins.cli.screen import Screen
from rtvi_plugins.errors import BotError, report
from rtvi_plugins.security import LogFormatter
from rtvi_plugins.utils.log_text import LINES, JsonLogFormatter, clean, escape, trace

KEY = "sk-test-4711aBcDeFgHiJkLmNoPqRsTuV"
FORGED = "first\nERROR rtvi_plugins: forged\r\x1b[2J\x9b31m\u202e\u2028\u2029\x85\x7f\ud800"
FORM = "%(levelname)s %(name)s: %(message)s"


@pytest.fixture
def key() -> Secret:
    """A key in use."""
    return Secret(KEY)


@pytest.fixture
def stream() -> Generator[io.StringIO]:
    """What the root logger's handler writes while a test runs."""
    stream, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(stream), root.level
    handler.setFormatter(LogFormatter(FORM))
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.setLevel(level)
    root.removeHandler(handler)


def failure(text: str) -> Exception:
    """An exception with a text, a note, a cause, a context and a group that all repeat it."""
    try:
        try:
            try:
                raise KeyError(text)
            except KeyError as first:
                raise ExceptionGroup(text, [first, ValueError(text)]) from OSError(5, text)
        except ExceptionGroup:
            raise RuntimeError(text)  # noqa: B904 - the group is its context
    except RuntimeError as error:
        error.add_note(text)
        return error


def lines_of_ours(text: str) -> list[str]:
    """The lines that look like records."""
    return [line for line in text.splitlines() if line.startswith(("DEBUG ", "INFO ", "WARNING ", "ERROR "))]


def test_keys_of_the_environment_are_covered_without_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server logs before its host is made, and after it has ended."""
    monkeypatch.setenv("VENDOR_API_KEY", "env-4711aBcDeFgHiJkLmNoPq")
    record = logging.LogRecord("any", logging.ERROR, "", 0, "with env-4711aBcDeFgHiJkLmNoPq", None, None)
    assert LogFormatter(FORM).format(record) == "ERROR any: with …"


@pytest.mark.parametrize("name", ["httpx2", "httpcore2", "uvicorn.error", "websockets.server", "anyio", "asyncio", "x"])
@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR])
def test_a_record_of_any_logger_is_one_line_without_secrets(
    name: str, level: int, key: Secret, stream: io.StringIO
) -> None:
    """In the message, in its arguments, and in the repr of an argument."""
    logger = logging.getLogger(name)
    logger.log(level, f"GET https://host/?key={KEY} {FORGED}")
    logger.log(level, "%s %r %s", KEY, {KEY: [KEY, FORGED]}, FORGED)
    written = stream.getvalue()
    assert written.count("\n") == len(lines_of_ours(written))
    assert KEY not in written
    assert not set(written) & {"\x1b", "\r", "\x9b", "\u202e", "\u2028", "\u2029", "\x85", "\x7f", "\ud800"}


def test_a_traceback_has_pythons_lines_only(key: Secret, stream: io.StringIO) -> None:
    """The lines in the exception's text, its notes, its causes or its group do not count."""
    logging.getLogger("any").error("failed", exc_info=failure(f"{KEY} {FORGED}"))
    written = stream.getvalue()
    assert "Traceback (most recent call last):\n" in written
    assert "RuntimeError: … first\\nERROR rtvi_plugins: forged" in written
    assert lines_of_ours(written) == ["ERROR any: failed"]
    assert KEY not in written
    assert "\x1b" not in written


def test_a_syntax_error_does_not_repeat_its_source_raw() -> None:
    """Source from elsewhere could control the terminal."""
    with pytest.raises(SyntaxError) as raised:
        compile("x = \x1b[31m", "name\nof a file", "exec")
    written = trace(raised.value)
    assert "\x1b" not in written
    assert "name\\nof a file" in written


def test_a_report_shows_a_clean_traceback_also_to_other_handlers(key: Secret, caplog: pytest.LogCaptureFixture) -> None:
    """Other handlers have their own formatters."""
    caplog.set_level(logging.DEBUG, "rtvi_plugins")
    report("the action 'x\ny'", failure(f"{KEY} {FORGED}"))
    assert "RuntimeError: …" in caplog.text
    assert KEY not in caplog.text
    assert "\x1b" not in caplog.text
    assert "\nERROR rtvi_plugins: forged" not in caplog.text


def test_a_record_that_cannot_be_formatted_is_logged_without_its_arguments(key: Secret) -> None:
    """The standard library would print the arguments unchanged."""

    class Awkward:
        def __repr__(self) -> str:
            raise RuntimeError(KEY)

    def formatted(message: str, *args: object) -> str:
        return LogFormatter(FORM).format(logging.LogRecord("any", logging.ERROR, "", 0, message, args, None))

    assert formatted("%d of %s", KEY, FORGED) == "ERROR any: %d of %s (TypeError)"
    assert formatted("%r", Awkward()) == "ERROR any: %r (RuntimeError)"


def test_an_exception_that_cannot_be_shown_is_named(key: Secret) -> None:
    """The author may have broken the methods of an exception."""

    class Awkward(Exception):
        def __str__(self) -> str:
            raise RuntimeError(KEY)

    error: Any = Awkward(KEY)
    error.__notes__ = 5
    written = trace(error)
    assert "Awkward" in written
    assert KEY not in written


def test_an_unhandled_exception_of_asyncio_is_clean(key: Secret, stream: io.StringIO) -> None:
    """Its context may contain anything."""
    loop = asyncio.new_event_loop()
    stream.truncate(0)
    stream.seek(0)
    loop.call_exception_handler({"message": f"unhandled {FORGED}", "exception": failure(KEY), "key": KEY})
    loop.close()
    written = stream.getvalue()
    assert len(lines_of_ours(written)) == 1
    assert KEY not in written


def test_what_threads_and_finalizers_raise_is_clean(key: Secret, capsys: pytest.CaptureFixture[str]) -> None:
    """Python writes them to stderr itself."""

    def fail() -> None:
        raise RuntimeError(f"{KEY} {FORGED}")

    class Finalized:
        def __del__(self) -> None:
            fail()

    def run() -> int:
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        one = Finalized()
        del one
        raise RuntimeError(f"{KEY} {FORGED}")

    assert guarded(run, traceback=True) == 1
    written = capsys.readouterr().err
    assert written.count("RuntimeError: … first\\nERROR") == 4
    assert KEY not in written
    assert "\x1b" not in written


@pytest.mark.parametrize("traceback", [False, True])
@pytest.mark.parametrize("error", [BotError, RuntimeError, asyncio.CancelledError])
def test_a_command_that_fails_shows_no_key_of_the_environment(
    error: type[BaseException], traceback: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also before there is a host that knows which keys its bot has, and whatever class is raised."""
    monkeypatch.setenv("ACME_API_KEY", KEY)

    def run() -> int:
        raise error(f"401 for {os.environ['ACME_API_KEY']}")

    assert guarded(run, traceback=traceback) > 0
    written = capsys.readouterr().err
    assert "401 for …" in written
    assert KEY not in written


def test_rtvi_run_logs_warnings_and_http_clients_cleanly() -> None:
    """The test uses a process of its own, whose root logger is not configured."""
    script = f"""
import logging, warnings
from rtvi_plugins import Secret
from rtvi_plugins.cli import log_to_stderr
key = Secret({KEY!r})
log_to_stderr("debug")
for name in ("httpx2", "httpcore2.http11"):
    logging.getLogger(name).info("HTTP Request: GET http://user:PASSWORD@host/v1")
    logging.getLogger(name).debug("no")
    logging.getLogger(name).warning("reason %s", key.reveal())
warnings.warn("a warning\\nERROR forged " + key.reveal())
logging.Logger("alone").warning("key\\n%s", key.reveal())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "WARNING httpx2",
        "WARNING httpcore2.http11",
        "WARNING py.warnings",
        "WARNING alone",
    ]
    assert "PASSWORD" not in done.stderr
    assert KEY not in done.stderr


@pytest.mark.parametrize("formatter", [LogFormatter("%(message)s"), JsonLogFormatter()])
def test_a_warning_of_python_has_its_line_of_source_beside_it(formatter: logging.Formatter) -> None:
    """Python puts a newline between them."""
    text = "bot.py:5: RuntimeWarning: coroutine 'converse' was never awaited\n  converse(session)\n"
    line = formatter.format(logging.LogRecord("py.warnings", logging.WARNING, "", 0, "%s", (text,), None))
    assert "was never awaited converse(session)" in line


def test_a_record_of_any_length_is_shortened(key: Secret) -> None:
    """Its beginning and end stay. It would block the event loop to clean all of it."""
    text = f"begin {KEY} {'sk...' * 1_000_000} {KEY} end"
    record = logging.LogRecord("acme", logging.ERROR, "", 0, "%s", (text,), None)
    formatted = LogFormatter(FORM).format(record)
    assert len(formatted) < 21_000
    assert "begin …" in formatted
    assert formatted.endswith("… end")
    shortened = trace(ValueError(text))
    assert len(shortened) < 21_000
    assert shortened.endswith("… end")


# ---- properties ----------------------------------------------------------------------------------------------------


@given(st.text(st.characters(categories=("C", "Z", "L", "P", "N"))))
def test_escaped_text_is_one_printable_line(text: str) -> None:
    """This is true for all characters of Unicode."""
    escaped = escape(text)
    assert escaped.isprintable() or escaped == ""
    assert len(escaped.splitlines()) <= 1
    escaped.encode()  # can be written
    assert escape(escaped) == escaped


@given(st.text(st.characters(categories=("L", "N", "P"))))
def test_text_that_prints_is_left_as_it_is(text: str) -> None:
    """This includes other scripts."""
    assert escape(text) == text


@given(st.text(), st.text(), st.lists(st.text(), max_size=3))
def test_a_record_is_always_one_line(name: str, message: str, args: list[str]) -> None:
    """This is true for all names, messages and arguments, also if they do not fit."""
    record = logging.LogRecord(name, logging.ERROR, "", 0, message, tuple(args), None)
    formatted = LogFormatter(FORM).format(record)
    assert len(formatted.splitlines()) == 1
    assert formatted.isprintable()


@given(st.text(), st.text())
def test_a_traceback_has_as_many_lines_for_any_text(text: str, note: str) -> None:
    """No line begins with the text of the exception."""

    def traced(text: str, note: str) -> str:
        error = failure(f"a{text}z")
        error.add_note(f"a{note}z")
        return trace(error)

    assert len(traced(text, note).splitlines()) == len(traced("text", "note").splitlines())


def test_multiline_text_keeps_its_lines(key: Secret) -> None:
    """The author of such a record has escaped text from elsewhere."""
    assert clean(f"one\n\ttwo\x1b {KEY}", LINES) == "one\n\ttwo\\x1b …"


# ---- the console ---------------------------------------------------------------------------------------------------


def test_what_a_bot_says_does_not_steer_the_terminal() -> None:
    """Text of people stays as it is, with its lines, emoji and hard spaces."""
    out = io.StringIO()
    screen = Screen(out, interactive=False)
    screen.text("One\ntwo \x1b]0;title\x07\x1b[2J\x9b1m\r\u202e ")
    screen.line('{"key": "\x9b\u2028"}')
    screen.text("Zoë 👩\u200d🚀\u00a0नमस्ते")
    assert out.getvalue() == (
        'One\ntwo \\x1b]0;title\\x07\\x1b[2J\\x9b1m\\r\\u202e \n{"key": "\\x9b\\u2028"}\nZoë 👩\u200d🚀\u00a0नमस्ते'
    )
