"""Make text safe for logs: no secrets, and no characters that fake log lines or control a terminal.

This includes standard error: `print`, `traceback.print_exc` or a library's log handler write there.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from traceback import TracebackException
from types import TracebackType
from typing import Any, Literal, TextIO, TypeAlias, cast

from .secrets import scrub, secrets_in_environment

__all__ = (
    "LINES",
    "PROSE",
    "JsonLogFormatter",
    "LogFormatter",
    "clean",
    "escape",
    "logged_session",
    "redacted_stderr",
    "show_texts",
    "trace",
)

#: What a text of several lines keeps.
LINES = "\n\t"

#: What a text for people keeps besides: joiners (emoji and several scripts need them), soft hyphens, hard spaces.
PROSE = LINES + "\u200c\u200d\u00ad\u00a0"

#: Whether the texts of all exceptions are logged, as in `rtvi console`, whose terminal is that of the bot's author.
show_texts: ContextVar[bool] = ContextVar("rtvi_plugins_show_texts", default=False)

#: An exception as `sys.exc_info()` returns it.
_ExcInfo: TypeAlias = (
    "tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None] | BaseException | bool"
)


def escape(text: str, keep: str = "") -> str:
    r"""Return `text` with every character that does not print as `\n`, `\x1b` or `\u202e`, except those of `keep`.

    These are control characters (C0 and C1), line separators, marks that change the direction of text, and lone
    surrogates, which cannot be written to a file.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in keep else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


#: The maximum length of a logged message, in characters. A client can send long text, and cleaning takes time.
_LONGEST = 20_000


def _shortened(text: str) -> str:
    """Return the text. If it is too long to log, remove its middle."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 2 :]}"


def clean(text: str, keep: str = "") -> str:
    """Return `text` without secrets and with its control characters escaped, except those of `keep`."""
    return escape(scrub(text), keep)


# ---- traces --------------------------------------------------------------------------------------------------------


def trace(error: BaseException) -> str:
    """Return the cleaned traceback of an exception. Newlines in an exception's text are escaped, others stay."""
    try:
        exception = TracebackException.from_exception(error)
        for each in _chained(exception):
            _clean_texts(each)
        text = "".join(exception.format())
    except Exception as failure:  # an exception may have fields and methods of any kind
        text = f"{type(error).__name__} (its traceback cannot be formatted: {type(failure).__name__})"
    return clean(text.rstrip("\n"), LINES)


def _chained(exception: TracebackException) -> Iterator[TracebackException]:
    """Yield the exception, its causes and contexts, and the members of its group, each once."""
    waiting, seen = [exception], set[int]()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [
            other for other in (each.__cause__, each.__context__, *(each.exceptions or ())) if other is not None
        ]


#: The fields of a `TracebackException` that hold what an exception says; the last three are a `SyntaxError`'s. The
#: standard library has no public way to have one text for each exception; the tests hold the name of the first.
_TEXTS = ("_str", "msg", "text", "filename")

#: As many notes of an exception are logged.
_MOST_NOTES = 100


def _clean_texts(exception: TracebackException) -> None:
    for name in _TEXTS:
        if isinstance(text := getattr(exception, name, None), str):
            setattr(exception, name, clean(_shortened(text).rstrip("\n")))
    notes: object = getattr(exception, "__notes__", None)
    if notes is not None:
        listed = cast("list[object]", notes) if isinstance(notes, list) else [notes]
        exception.__notes__ = [clean(_shortened(str(each))) for each in listed[:_MOST_NOTES]]


# ---- records -------------------------------------------------------------------------------------------------------


class LogFormatter(logging.Formatter):
    """Formats the records of every logger without secrets and with control characters escaped.

    A record is one line, followed by its traceback if it has one. A record with `multiline=True` in its `extra` keeps
    the newlines of its message. Its author must escape text from other sources.
    """

    def __init__(
        self, fmt: str | None = None, datefmt: str | None = None, style: Literal["%", "{", "$"] = "%", **more: Any
    ) -> None:
        super().__init__(fmt, datefmt, style, **more)
        # Kept so that they are covered also while there is no host.
        self._known_secrets = secrets_in_environment(os.environ)

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's text. A record whose arguments do not fit its message is shown without them."""
        record.message, keep = _message(record)
        if self.usesTime():
            record.asctime = self.formatTime(record, self.datefmt)
        line = clean(self.formatMessage(record), keep)
        return "\n".join((line, *self._traces(record)))

    def formatException(self, ei: _ExcInfo) -> str:  # noqa: N802 - the standard library's name
        """Return the traceback of an exception, clean."""
        error = ei[1] if isinstance(ei, tuple) else ei
        return trace(error) if isinstance(error, BaseException) else ""

    def _traces(self, record: logging.LogRecord) -> Iterator[str]:
        if record.exc_info and (text := self.formatException(record.exc_info)):
            yield text
        elif record.exc_text:  # formatted by another process or handler
            yield clean(record.exc_text, LINES)
        if record.stack_info:
            yield clean(self.formatStack(record.stack_info), LINES)


#: The id of the session whose code runs, for the log.
logged_session: ContextVar[str | None] = ContextVar("rtvi_plugins_logged_session", default=None)


class JsonLogFormatter(LogFormatter):
    """Formats the records of every logger as JSON, one object per line, as clean as those of `LogFormatter`.

    Each has `time` (ISO 8601, UTC), `level`, `logger` and `message`, and `exception` if it has a traceback. If it is
    about a session or an error code, it has `session` or `code`. Code that does not run in the session passes them in
    `extra`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line of JSON."""
        message, keep = _message(record)
        found = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": clean(record.name),
            "message": clean(message, keep),
        }
        about = {"session": getattr(record, "session", logged_session.get()), "code": getattr(record, "code", None)}
        found |= {name: clean(str(value)) for name, value in about.items() if value is not None}
        if traces := "\n".join(self._traces(record)):
            found["exception"] = traces
        return json.dumps(found, ensure_ascii=False)


def _message(record: logging.LogRecord) -> tuple[str, str]:
    """Return the message of a record, not clean yet, and the characters that it keeps."""
    if getattr(record, "multiline", False):
        return _text(record).rstrip("\n"), LINES
    return _shortened(_text(record)).rstrip("\n"), ""


def _text(record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
        # A warning has a second line: that of the source.
        return " ".join(text.split()) if record.name == "py.warnings" else text
    except Exception as error:  # wrong arguments, or one whose repr raises
        return f"{record.msg if isinstance(record.msg, str) else type(record.msg).__name__} ({type(error).__name__})"


class _Redacted:
    """A text stream that removes secrets from each text that is written to it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(scrub(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def redacted_stderr() -> Generator[None]:
    """Remove secrets from all text that Python code writes to `sys.stderr`."""
    stream = sys.stderr
    sys.stderr = cast(TextIO, _Redacted(stream))
    try:
        yield
    finally:
        sys.stderr = stream
