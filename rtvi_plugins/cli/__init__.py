"""Shared parts of the `rtvi` commands: exit codes, errors as sentences, and values from the command line.

A plugin brings a command as an entry point of the group `rtvi_plugins.commands`: its name is the word after `rtvi`, its
value a `module:function` that takes the words after it and returns an exit code. If the function raises, `rtvi` prints
one sentence, and returns the exit code 2 for an `AuthorError` or `UsageError`, and 1 for any other exception. Raise a
`Failure` with a sentence of your own if a correct request cannot be carried out.

If the module also has a function `parser` that returns the command's `argparse.ArgumentParser`, the script of
`rtvi completion` completes its options.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from argparse import ArgumentTypeError
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal

from ..errors import AuthorError, BotError, RequestError
from ..security import JsonLogFormatter, LogFormatter, quiet_http_clients
from ..utils.error_texts import unwrap_group
from ..utils.log_text import LINES, clean, redacted_stderr, trace
from ..utils.secrets import secrets_in_environment

if TYPE_CHECKING:
    from ..hosting import Host
    from ..session import Secret

__all__ = (
    "FAILED",
    "INTERRUPTED",
    "OK",
    "USAGE",
    "Failure",
    "UsageError",
    "check_url",
    "describe_error",
    "examples",
    "guarded",
    "load",
    "log_to_stderr",
    "read_arguments",
    "read_config",
    "read_seconds",
    "read_secret",
    "read_services",
    "read_value",
    "requested",
    "set_service_options",
    "show_traces",
)

_log = logging.getLogger("rtvi_plugins")

#: All went well.
OK = 0

#: The request failed, or something is broken.
FAILED = 1

#: The command line, the bot or the installation has a mistake.
USAGE = 2

#: The ending of bot files.
_BOT_FILES: Final = ".toml"

#: The variable that chooses the environment of a bot file.
_ENV_VARIABLE: Final = "RTVI_ENV"

_SERVICE_OPTION = "service.option=value, as in llm.base_url=http://127.0.0.1:8000/v1"

#: Ended by Ctrl-C, before it was done.
INTERRUPTED = 130


class UsageError(Exception):
    """A mistake on the command line. The text says what to write instead."""


class Failure(Exception):
    """A correct request that cannot be carried out. The text says why."""


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
    sys.excepthook = lambda kind, error, place: _write_uncaught("uncaught", error)
    threading.excepthook = lambda args: _write_uncaught("in a thread", args.exc_value)
    sys.unraisablehook = lambda args: _write_uncaught("ignored", args.exc_value)
    try:
        yield
    finally:
        sys.excepthook, threading.excepthook, sys.unraisablehook = hooks


def _write_uncaught(where: str, error: BaseException | None) -> None:
    if error is not None and not isinstance(error, SystemExit):
        sys.stderr.write(f"rtvi: an exception ({where})\n{trace(error)}\n")


def _uncaught_to_log() -> None:
    """Log uncaught exceptions, until `guarded` returns."""
    threading.excepthook = lambda args: _log_uncaught("in a thread", args.exc_value)
    sys.unraisablehook = lambda args: _log_uncaught("ignored", args.exc_value)


def _log_uncaught(where: str, error: BaseException | None) -> None:
    if error is not None and not isinstance(error, SystemExit):
        _log.error("an exception (%s)", where, exc_info=error)


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
    import sysconfig  # here: only mistakes pay for it
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
        _uncaught_to_log()
    else:
        handler.setFormatter(LogFormatter("%(levelname)s %(name)s: %(message)s"))
    if logging.lastResort is not None:  # for a logger that stands alone
        logging.lastResort.setFormatter(handler.formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.captureWarnings(True)
    quiet_http_clients()


def show_traces() -> None:
    """Log exceptions of bots and providers with text and traceback. These may hold what clients said."""
    _log.setLevel(logging.DEBUG)


def _hint_at_traceback(record: logging.LogRecord) -> bool:
    if getattr(record, "withheld", False) and not _log.isEnabledFor(logging.DEBUG):
        record.msg = f"{record.msg} (--traceback shows why)"
    return True


def load(target: str, env: str | None = None) -> Callable[..., Any]:
    """Return the bot that a command line names. If its module raises, raise a `BotError` that says where.

    `env` names the environment of a bot file; without it, the variable `RTVI_ENV` does.
    """
    if target.endswith(_BOT_FILES):
        from ..bot_file import load_bot_file

        return load_bot_file(target, env or os.environ.get(_ENV_VARIABLE) or None)
    if env is not None:
        raise UsageError(f"--env chooses settings of a bot file, and {target} is none. Name a file like bot.toml.")
    from ..loading import load_bot

    try:
        return load_bot(target)
    except AuthorError:
        raise
    except (Exception, SystemExit) as error:
        raise BotError(f"{target} cannot be imported: {describe_error(error)}") from error


@contextmanager
def requested() -> Generator[None]:
    """Turn refusals of the bot in the block into a `UsageError`: the refused values are from the command line."""
    try:
        yield
    except RequestError as error:
        if error.status >= 500:  # the request is correct, but cannot be carried out
            raise
        raise UsageError(f"{error.message} ({error.code})") from error


def examples(*lines: str) -> str:
    """Return examples for the end of a command's help. Its parser needs `RawDescriptionHelpFormatter`."""
    return "\n".join(["examples:", *(f"  {each}" for each in lines), ""])


# ---- values --------------------------------------------------------------------------------------------------------


def read_value(text: str, type: str | None = None) -> Any:
    """Return the value of a text: parsed as JSON if it is JSON and the RTVI type is not "string", else the text."""
    import json

    if type == "string":
        return text
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        return text


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def read_seconds(text: str) -> float:
    """Return a number of seconds, more than 0, for `argparse`."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if seconds > 0:  # nor is nan
        return seconds
    raise ArgumentTypeError(f"{text!r} is not a time. Write a number of seconds, more than 0.")


def check_url(text: str) -> None:
    """Raise a `UsageError` if a text is no URL of a server."""
    if not text.lower().startswith(("http://", "https://")):
        raise UsageError(f"{text!r} is no address; write http://{text.rpartition('://')[2]}.")


def read_secret(variable: str | None) -> Secret | None:
    """Return the secret in the environment variable that the command line names. None if it names none."""
    if variable is None:
        return None
    if not (text := os.environ.get(variable)):
        raise UsageError(f"The environment variable {variable} is not set.")
    from ..session import Secret

    return Secret(text)


def read_arguments(words: Iterable[str], types: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return arguments from words like `name=value`. `types` are the known RTVI types by name."""
    return {name: read_value(text, (types or {}).get(name)) for name, text in _pairs(words, "name=value")}


def read_services(words: Iterable[str]) -> dict[str, str]:
    """Return providers by service from words like `llm=together`."""
    return dict(_pairs(words, "service=provider, as in llm=together"))


def read_config(words: Iterable[str], types: Mapping[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """Return values by service and option from words like `llm.model=x`. `types` has RTVI types by `service.option`."""
    form = "service.option=value, as in llm.model=x"
    config: dict[str, dict[str, Any]] = {}
    for name, text in _pairs(words, form):
        service, dot, option = name.partition(".")
        if not dot:
            raise UsageError(f"{name!r} does not name an option of a service. Write {form}.")
        config.setdefault(service, {})[option] = read_value(text, (types or {}).get(name))
    return config


def set_service_options(host: Host, words: Iterable[str]) -> None:
    """Set service options of a host from words like `llm.base_url=http://…` or `llm.openai.base_url=http://…`.

    Keys are not accepted: other users of the machine can read a command line.
    """
    from ..errors import InvalidStart

    found: dict[str, dict[str, Any]] = {}
    for name, text in _pairs(words, _SERVICE_OPTION):
        provider, option, type = _service_option(host, name)
        found.setdefault(provider, {})[option] = read_value(text, type)
    try:
        host.set_service_options(found)
    except InvalidStart as error:
        raise UsageError(f"--service-option: {' '.join(each.message for each in error.problems)}") from None


def _service_option(host: Host, name: str) -> tuple[str, str, str]:
    """Return the `service.provider`, the name and the RTVI type of a service option."""
    from ..protocol.start_request import key_variable

    service, *provider = name.split(".")
    option = provider.pop() if provider else ""
    if service not in host.registry.services or not option or len(provider) > 1:
        services = ", ".join(host.registry.services) or "none"
        raise UsageError(f"{name!r} names no service option. Write {_SERVICE_OPTION}. The bot's services: {services}.")
    providers = host.registry.services[service].providers
    named = {label: each for label, each in providers.items() if provider in ([], [label])}
    known = {label: each.spec.parameters.values() for label, each in named.items()}
    having = {label: one for label, all in known.items() for one in all if option in (one.name, *one.was)}
    if len(having) == 1:
        label, found = having.popitem()
        return f"{service}.{label}", option, found.shape.rtvi_type
    if having:
        raise UsageError(f"Several providers have {name!r}. Write {service}.{min(having)}.{option}.")
    for each in named.values():
        if any(secret.name == option for secret in each.spec.secrets):
            raise UsageError(
                f"{name!r} is a key. Set it in the environment, as {key_variable(each.spec.provider, option)}."
            )
    options = sorted({f"{label}.{each}" for label, one in providers.items() for each in one.spec.parameters})
    listed = ", ".join(f"{service}.{each}" for each in options) or "none"
    raise UsageError(f"There is no service option {name!r}. The service options of {service}: {listed}.")


def _pairs(words: Iterable[str], form: str) -> Iterable[tuple[str, str]]:
    pairs: dict[str, str] = {}
    for word in words:
        name, sign, text = word.partition("=")
        if not name or not sign:
            raise UsageError(f"{word!r} cannot be read. Write {form}.")
        if name in pairs:
            raise UsageError(f"{name!r} is given twice. Write it once.")
        pairs[name] = text
    return pairs.items()
