"""Read the command line: the bot that it names, seconds, URLs, arguments, services, config and service options."""

from __future__ import annotations

import os
import re
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterable, Mapping
from importlib.machinery import PathFinder
from math import inf
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ..errors import AuthorError, BotError
from ..limits import YEAR_SECONDS
from ..utils.names import nearest
from .failures import UsageError, describe_error

if TYPE_CHECKING:
    from ..hosting import Host
    from ..session import Secret

__all__ = (
    "CommandParser",
    "check_url",
    "examples",
    "load",
    "read_arguments",
    "read_config",
    "read_seconds",
    "read_secret",
    "read_services",
    "read_value",
    "secret_in",
    "set_service_options",
)

#: The ending of bot files, and those of files that are mistaken for them.
_BOT_FILES: Final = ".toml"
_NO_BOT_FILES: Final = (".yaml", ".yml", ".json", ".toml")

#: The variable that chooses the environment of a bot file.
_ENV_VARIABLE: Final = "RTVI_ENV"


_SERVICE_OPTION = "service.option=value, as in llm.base_url=http://127.0.0.1:8000/v1"


def load(target: str, env: str | None = None) -> Callable[..., Any]:
    """Return the bot that a command line names. If its module raises, raise a `BotError` that says where.

    `env` names the environment of a bot file; without it, the variable `RTVI_ENV` does.
    """
    if target.endswith(_BOT_FILES):
        from ..bot_file import load_bot_file

        return load_bot_file(target, env or os.environ.get(_ENV_VARIABLE, "").strip() or None)
    if target.lower().endswith(_NO_BOT_FILES):
        raise UsageError(f"{target} is not a bot file. A bot file is in TOML, and its name ends in .toml.")
    if env is not None:
        raise UsageError(
            f"--env chooses the environment of a bot file, and {target} is not a bot file. Write one, as in bot.toml."
        )
    from ..loading import load_bot

    try:
        return load_bot(target)
    except AuthorError:
        raise
    except (Exception, SystemExit) as error:
        raise BotError(f"{target} cannot be imported: {describe_error(error)}{_import_hint(target, error)}") from error


def _import_hint(target: str, error: BaseException) -> str:
    """Return what to write instead of an import that cannot work; empty if nothing is known."""
    if not isinstance(error, ImportError):
        return ""
    if "no known parent package" in str(error):
        return " A file belongs to no package. Name its module instead, as in package.module:bot."
    file = target if target.endswith(".py") else target.rpartition(":")[0]
    path = os.path.realpath(file)
    folder, own_name = os.path.split(path)
    package = (error.name or "").partition(".")[0]
    if own_name == f"{package}.py":
        elsewhere = [each for each in sys.path if os.path.realpath(each) != folder]
        hidden = PathFinder.find_spec(package, elsewhere)
        if hidden is not None and hidden.origin is not None:
            return f" {own_name} hides the library {package!r}. Rename the file."
    is_own_file = error.path is not None and os.path.realpath(error.path) == path
    if is_own_file or "partially initialized module" in str(error):
        return " Two modules import each other. In the bot's module, import the other one below the bot."
    return ""


class CommandParser(ArgumentParser):
    """A parser of `argparse`. Its error about an unknown option suggests the most similar one."""

    def error(self, message: str) -> NoReturn:
        """Write the error and exit."""
        unknown = re.match(r"unrecognized arguments: (--[^ =]+)", message)
        near = nearest(unknown[1], re.findall(r"--[a-z][a-z-]*", self.format_help())) if unknown else None
        super().error(f"{message}; did you mean {near}?" if near else message)


def examples(*lines: str) -> str:
    """Return examples for the end of a command's help. Its parser needs `RawDescriptionHelpFormatter`."""
    return "\n".join(["examples:", *(f"  {each}" for each in lines), ""])


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
    """Return a number of seconds for `argparse`: more than 0 and at most a year, or infinity for no limit."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if 0 < seconds <= YEAR_SECONDS or seconds == inf:
        return seconds
    raise ArgumentTypeError(
        f"{text!r} is not a time. Write a number of seconds, more than 0 and at most {YEAR_SECONDS} (a year), or inf "
        "for no limit."
    )


def check_url(text: str) -> None:
    """Raise a `UsageError` if a text is not a URL of a server."""
    if not text.lower().startswith(("http://", "https://")):
        raise UsageError(f"{text!r} is not an address; write http://{text.rpartition('://')[2]}.")


def read_secret(variable: str | None) -> Secret | None:
    """Return the secret in the environment variable that the command line names. None if it names none."""
    if variable is None:
        return None
    if (found := secret_in(os.environ, variable)) is None:
        raise UsageError(f"The environment variable {variable} is not set.")
    return found


def secret_in(environ: Mapping[str, str], variable: str) -> Secret | None:
    """Return the operator's secret in a variable of an environment; None if there is none.

    HTTP removes white space around it. Raise a `UsageError` if HTTP cannot carry it.
    """
    if not (text := environ.get(variable, "").strip()):
        return None
    if not (text.isascii() and text.isprintable()):
        raise UsageError(
            f"{variable} has characters that an HTTP header cannot carry. Make one that has none: openssl rand -hex 32"
        )
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
    from ..utils.json_values import member_path

    found: dict[str, dict[str, Any]] = {}
    written: dict[str, str] = {}
    for name, text in _pairs(words, _SERVICE_OPTION):
        provider, option, type = _service_option(host, name)
        found.setdefault(provider, {})[option] = read_value(text, type)
        written[member_path(member_path("$.service_options", provider), option)] = name
    try:
        host.set_service_options(found)
    except InvalidStart as error:
        problems = (f"{written.get(each.path, each.path)}: {each.message}" for each in error.problems)
        raise UsageError(f"--service-option {' '.join(problems)}") from None


def _service_option(host: Host, name: str) -> tuple[str, str, str]:
    """Return the `service.provider`, the name and the RTVI type of a service option."""
    from ..protocol.operator_fields import key_variable

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
