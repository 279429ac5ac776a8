"""What the commands of `rtvi` share: exit codes, errors as sentences, and values from the command line.

A plugin brings a command as an entry point of the group `rtvi_plugins.commands`: its name is the word after `rtvi`, its
value a `module:function` that takes the words after it and returns an exit code. What the function raises is told by
`rtvi` in a sentence: an `AuthorError` or `UsageError` with the exit code 2, anything else with 1. A `Failure` is for
what could not be done and is told in the command's own words.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from argparse import ArgumentTypeError
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any

from ..errors import AuthorError, BotError, RequestError
from ..security import LogFormatter, quiet_http_clients
from ..utils.diagnostics import unwrap_group
from ..utils.log_text import LINES, clean, trace
from ..utils.secrets import secrets_in_environment
from .redacted import redacted_stderr

__all__ = (
    "FAILED",
    "INTERRUPTED",
    "OK",
    "USAGE",
    "Failure",
    "UsageError",
    "guarded",
    "load",
    "log_to_stderr",
    "read_arguments",
    "read_config",
    "read_seconds",
    "read_services",
    "read_value",
    "requested",
    "show_traces",
    "told",
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
    """A mistake on the command line; the text says what to write instead."""


class Failure(Exception):
    """What was asked for rightly, and could not be done; the text says why."""


# ---- errors --------------------------------------------------------------------------------------------------------


def guarded(run: Callable[[], int], *, traceback: bool = False) -> int:
    """Return the result of `run`, or write its exception to stderr and return the exit code for it.

    With `traceback` the whole traceback is written. Exceptions in threads and finalizers are written too. Secrets are
    removed from everything that Python code writes to stderr in the meantime.
    """
    _known = secrets_in_environment(os.environ)  # kept until the end: a bot's module may fail before there is a host
    with redacted_stderr():
        return _guarded(run, traceback=traceback)


def _guarded(run: Callable[[], int], *, traceback: bool) -> int:
    try:
        with _uncaught_to_stderr():
            return run()
    except SystemExit as done:  # argparse has said why
        return done.code if isinstance(done.code, int) else OK if done.code is None else _tell(str(done.code), USAGE)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the output has read enough
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
    """Write without secrets what Python itself writes to stderr: exceptions in threads, and where nobody can catch."""
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    sys.excepthook = lambda kind, error, place: _write_uncaught("uncaught", error)
    threading.excepthook = lambda told: _write_uncaught("in a thread", told.exc_value)
    sys.unraisablehook = lambda told: _write_uncaught("ignored", told.exc_value)
    try:
        yield
    finally:
        sys.excepthook, threading.excepthook, sys.unraisablehook = hooks


def _write_uncaught(where: str, error: BaseException | None) -> None:
    if error is not None and not isinstance(error, SystemExit):
        sys.stderr.write(f"rtvi: an exception ({where})\n{trace(error)}\n")


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
            return f"{told(error)} Say it again with --traceback to see more.", FAILED


def told(error: BaseException) -> str:
    """What an exception says and where it was raised, as far as that is in somebody's own code."""
    if isinstance(error, SyntaxError):  # its text names the place
        return f"{type(error).__name__}: {clean(str(error))}."
    return f"{type(error).__name__}: {clean(str(error))}{_place(error)}."


def _place(error: BaseException) -> str:
    import sysconfig  # here: only mistakes pay for it
    from traceback import extract_tb

    frames = [each for each in extract_tb(error.__traceback__) if not each.filename.startswith("<frozen")]
    installed = sysconfig.get_paths()
    ours = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")  # noqa: PTH118, PTH120
    others = (installed["stdlib"], installed["purelib"], ours)
    own = [each for each in frames if not each.filename.startswith(others)]
    return f" ({(own or frames)[-1].filename}, line {(own or frames)[-1].lineno})" if frames else ""


def log_to_stderr(level: str) -> None:
    """Log from this level on, without secrets. A record of what a bot or a provider raised names the way to see more.

    Python's warnings are logged as well, and HTTP clients log warnings only.
    """
    handler = logging.StreamHandler()
    handler.addFilter(_hint_at_traceback)
    handler.setFormatter(LogFormatter("%(levelname)s %(name)s: %(message)s"))
    if logging.lastResort is not None:  # for a logger that stands alone
        logging.lastResort.setFormatter(handler.formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.captureWarnings(True)
    quiet_http_clients()


def show_traces() -> None:
    """Have the log tell what bots and providers raise with its text and trace, which may hold what clients said."""
    _log.setLevel(logging.DEBUG)


def _hint_at_traceback(record: logging.LogRecord) -> bool:
    if getattr(record, "withheld", False) and not _log.isEnabledFor(logging.DEBUG):
        record.msg = f"{record.msg} (--traceback shows why)"
    return True


def load(target: str) -> Callable[..., Any]:
    """The bot that a command line names. Whatever its module raises comes out as a `BotError` that says where."""
    from ..loading import load_bot

    try:
        return load_bot(target)
    except AuthorError:
        raise
    except (Exception, SystemExit) as error:
        raise BotError(f"{target} cannot be imported: {told(error)}") from error


@contextmanager
def requested() -> Generator[None]:
    """What the bot refuses in here was written on the command line: that is a mistake, where else it is a failure."""
    try:
        yield
    except RequestError as error:
        if error.status >= 500:  # it would be granted, but cannot be done
            raise
        raise UsageError(f"{error.message} ({error.code})") from error


# ---- values --------------------------------------------------------------------------------------------------------


def read_value(text: str, type: str | None = None) -> Any:
    """A value: JSON if it is JSON and not meant for what has the RTVI type "string", else the text itself."""
    import json

    if type == "string":
        return text
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        return text


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def read_seconds(text: str) -> float:
    """How long something may take, for `argparse`: more than 0."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if seconds > 0:  # nor is nan
        return seconds
    raise ArgumentTypeError(f"{text!r} is no time; write seconds, more than 0.")


def read_arguments(words: Iterable[str], types: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Arguments from `name=value`; `types` are their RTVI types by name, as far as they are known."""
    return {name: read_value(text, (types or {}).get(name)) for name, text in _pairs(words, "name=value")}


def read_services(words: Iterable[str]) -> dict[str, str]:
    """Providers by service, from `llm=together`."""
    return dict(_pairs(words, "service=provider, as in llm=together"))


def read_config(words: Iterable[str], types: Mapping[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """Values by service and option, from `llm.model=x`; `types` are their RTVI types by `service.option`."""
    form = "service.option=value, as in llm.model=x"
    config: dict[str, dict[str, Any]] = {}
    for name, text in _pairs(words, form):
        service, dot, option = name.partition(".")
        if not dot:
            raise UsageError(f"{name!r} names no option of a service; write {form}.")
        config.setdefault(service, {})[option] = read_value(text, (types or {}).get(name))
    return config


def _pairs(words: Iterable[str], form: str) -> Iterable[tuple[str, str]]:
    pairs: dict[str, str] = {}
    for word in words:
        name, sign, text = word.partition("=")
        if not name or not sign:
            raise UsageError(f"{word!r} cannot be read; write {form}.")
        if name in pairs:
            raise UsageError(f"{name!r} is given twice; write it once.")
        pairs[name] = text
    return pairs.items()
