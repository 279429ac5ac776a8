"""How a command ends: its exit code, errors as sentences, and what is written to stderr and to the log."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Literal

from ..errors import AuthorError, RequestError
from ..security import JsonLogFormatter, LogFormatter, quiet_http_clients
from ..utils.error_texts import unwrap_group
from ..utils.log_text import LINES, clean, redacted_stderr, trace
from ..utils.secrets import secrets_in_environment

__all__ = (
    "FAILED",
    "INTERRUPTED",
    "OK",
    "USAGE",
    "Failure",
    "UsageError",
    "describe_error",
    "guarded",
    "log_to_stderr",
    "requested",
    "show_traces",
)

_log = logging.getLogger("rtvi_plugins")

#: All went well.
OK = 0

#: The request failed, or something is broken.
FAILED = 1

#: The command line, the bot or the installation has a mistake.
USAGE = 2

#: Ended by Ctrl-C, before it was done.
INTERRUPTED = 130


class UsageError(Exception):
    """A mistake on the command line. The text says what to write instead."""


class Failure(Exception):
    """A correct request that cannot be answered. The text says why."""


def guarded(run: Callable[[], int], *, traceback: bool = False) -> int:
    """Return the result of `run`, or write its exception to stderr and return the exit code for it.

    With `traceback` the whole traceback is written. Exceptions in threads and finalizers are written too. Secrets are
    removed from everything that Python code writes to stderr in the meantime.
    """
    _open_closed_streams()
    _known = secrets_in_environment(os.environ)  # kept until the end: a bot's module may fail before there is a host
    with redacted_stderr():
        return _guarded(run, traceback=traceback)


def _open_closed_streams() -> None:
    """Open the null device for standard streams that were closed when the process started: Python has None for them.

    It takes their descriptors too. Otherwise the next file or socket would, and a child would write to it.
    """
    for descriptor, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123, SIM115 - open until the end
            if stream.fileno() == descriptor:
                os.set_inheritable(descriptor, True)
            setattr(sys, name, stream)


def _guarded(run: Callable[[], int], *, traceback: bool) -> int:
    try:
        with _uncaught_to_stderr():
            return run()
    except SystemExit as done:  # argparse has said why
        return done.code if isinstance(done.code, int) else OK if done.code is None else _tell(str(done.code), USAGE)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of the output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except BaseException as error:  # Python would write any other as it is
        if isinstance(unwrap_group(error), KeyboardInterrupt):
            return INTERRUPTED
        if traceback:
            sys.stderr.write(f"{trace(error)}\n")
        return _tell(*_sentence(unwrap_group(error)))


@contextmanager
def _uncaught_to_stderr() -> Generator[None]:
    """Write uncaught exceptions, also those of threads and finalizers, to stderr without secrets."""
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    _report_uncaught(lambda where, error: sys.stderr.write(f"rtvi: an exception ({where})\n{trace(error)}\n"))
    try:
        yield
    finally:
        sys.excepthook, threading.excepthook, sys.unraisablehook = hooks


def _report_uncaught(report: Callable[[str, BaseException], object]) -> None:
    """Pass uncaught exceptions to a function, until `guarded` returns."""

    def report_error(where: str, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, SystemExit):
            report(where, error)

    sys.excepthook = lambda kind, error, place: report_error("uncaught", error)
    threading.excepthook = lambda args: report_error("in a thread", args.exc_value)
    sys.unraisablehook = lambda args: report_error("ignored", args.exc_value)


def _tell(sentence: str, code: int) -> int:
    sys.stderr.write(f"rtvi: {clean(sentence, LINES)}\n")
    return code


def _sentence(error: BaseException) -> tuple[str, int]:
    match error:
        case UsageError() | AuthorError():
            return str(error), USAGE
        case Failure():
            return str(error), FAILED
        case RequestError():
            return f"{clean(error.message)} ({clean(error.code)})", FAILED
        case _:
            return f"{describe_error(error)} Run it again with --traceback to see more.", FAILED


def describe_error(error: BaseException) -> str:
    """Return an exception's text and the place in the user's code where it was raised."""
    if isinstance(error, SyntaxError):  # its text names the place
        return f"{type(error).__name__}: {clean(str(error))}."
    return f"{type(error).__name__}: {clean(str(error))}{_place(error)}."


def _place(error: BaseException) -> str:
    import sysconfig  # imported here, because only mistakes need it
    from traceback import extract_tb

    frames = [each for each in extract_tb(error.__traceback__) if not each.filename.startswith("<frozen")]
    installed = sysconfig.get_paths()
    ours = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")  # noqa: PTH118, PTH120
    others = (installed["stdlib"], installed["purelib"], ours)
    own = [each for each in frames if not each.filename.startswith(others)]
    return f" ({(own or frames)[-1].filename}, line {(own or frames)[-1].lineno})" if frames else ""


def log_to_stderr(level: str, form: Literal["text", "json"] = "text") -> None:
    """Log to stderr from this level on, without secrets, as text or with one JSON object per line.

    A record of an exception of a bot or a provider says how to see more. Python's warnings are logged too. HTTP clients
    log warnings only. With JSON, uncaught exceptions of threads and finalizers are records too.
    """
    handler = logging.StreamHandler()
    handler.addFilter(_hint_at_traceback)
    if form == "json":
        handler.setFormatter(JsonLogFormatter())
        _report_uncaught(lambda where, error: _log.error("an exception (%s)", where, exc_info=error))
    else:
        handler.setFormatter(LogFormatter("%(levelname)s %(name)s: %(message)s"))
    if logging.lastResort is not None:  # for a logger without handlers
        logging.lastResort.setFormatter(handler.formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.captureWarnings(True)
    quiet_http_clients()


def show_traces() -> None:
    """Log exceptions of bots and providers with text and traceback. These may hold what clients said."""
    _log.setLevel(logging.DEBUG)


def _hint_at_traceback(record: logging.LogRecord) -> bool:
    withheld = getattr(record, "withheld", False)
    if withheld and not _log.isEnabledFor(logging.DEBUG):
        record.msg = f"{record.msg} (--traceback shows {'where' if withheld == 'traceback' else 'why'})"
    return True


@contextmanager
def requested() -> Generator[None]:
    """Turn refusals of the bot in the block into a `UsageError`: the refused values are from the command line."""
    try:
        yield
    except RequestError as error:
        if error.status >= 500:  # the request is correct, but cannot be answered
            raise
        raise UsageError(f"{error.message} ({error.code})") from error
