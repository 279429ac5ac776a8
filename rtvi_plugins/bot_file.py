"""Bot files: a bot without Python, as a TOML file.

The file becomes a function under `@bot` that calls `converse`, so it works like any other bot.

The module has more than 300 lines because each part of a file's form is next to the code that reads it.
"""

from __future__ import annotations

import inspect
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NotRequired, TypeAlias, cast

from attrs.validators import and_, ge, in_, le, max_len, min_len
from typing_extensions import TypedDict

from .declare.annotations import read
from .declare.bot import Providers, bot
from .declare.failover import Failover, failover_problem
from .declare.grant import Grant
from .declare.specs import AnyFunction
from .declare.types import check
from .errors import AuthorError, BotError, Problem
from .kinds import BUILTIN_KINDS, Kind
from .registry.modules import free_name, load_file
from .session import Session
from .utils.error_texts import BOT_FILE
from .utils.names import nearest
from .voice import converse
from .voice.turn_taking import TurnTaking

__all__ = ("BotFile", "GrantTable", "load_bot_file")


# ---- the form of a file --------------------------------------------------------------------------------------------


class _Bounds(TypedDict, total=False):
    """The bounds of a value, with the keywords of JSON Schema."""

    minimum: float
    maximum: float
    minLength: int
    maxLength: int
    enum: Sequence[Any]


class GrantTable(_Bounds):
    """A grant that is narrower than its option or action."""

    name: str
    writable: NotRequired[bool]
    arguments: NotRequired[Mapping[str, _Bounds]]


class _Failover(TypedDict):
    """Providers that take over from each other."""

    failover: Sequence[str]
    seconds: NotRequired[float]


#: The providers of a service.
_Written: TypeAlias = str | Sequence[str | _Failover] | _Failover


class _Service(TypedDict):
    """A service whose name is not its kind."""

    kind: str
    providers: _Written


class _TurnTaking(TypedDict, total=False):
    """The fields of `TurnTaking` that are not functions."""

    interruptible: bool
    interrupt_seconds: float
    longest_turn_seconds: float
    idle_seconds: float
    idle_text: str


class _Settings(TypedDict, total=False):
    """What an environment can change."""

    services: Mapping[str, _Written | _Service]
    config: Mapping[str, Mapping[str, Any]]
    prompt: str
    greeting: str
    apology: str
    filler: str
    turn_taking: _TurnTaking
    client: Sequence[str | GrantTable]
    functions: Sequence[str | GrantTable]
    plugins: Sequence[str]
    public: bool


class BotFile(_Settings, total=False):
    """A whole file."""

    name: str
    description: str
    env: Mapping[str, _Settings]


_SHAPE: Final = read(BotFile)
_KEYS: Final = frozenset(BotFile.__annotations__) - {"env"}
#: What to write instead of what `tomllib` reports.
_TOML_HINTS: Final[Mapping[str, str]] = {
    "Expected '='": 'Write key = value, as in prompt = "You are a waiter."',
    "Invalid statement": 'Write key = value, as in prompt = "You are a waiter."',
    "Invalid value": "Write a text in quotes, and true or false in small letters.",
    "Expected newline": "Write each key on a line of its own, and a text with an apostrophe in double quotes.",
    "Cannot overwrite": "Write each key once.",
    "Cannot declare": "Write each table once.",
    "Illegal character": 'Write a text of several lines between """ and """.',
    "Unescaped": "Write \\\\ for a backslash, or put the text in single quotes.",
    "inline table": "Write a table in braces on one line, without a comma at its end.",
    "key part": "Write a table in braces on one line, without a comma at its end.",
}
#: How to mend a key of the file that is below the head of a table.
_MISPLACED: Final = "It is a key of the file: write it above the first [table]."
#: The tables in which the author chooses the names of the keys, so that none is unknown.
_FREE: Final = (".services", ".config", ".env")
#: The tables that are merged with those of an environment. Other values are replaced.
_MERGED: Final = ("services", "config", "turn_taking")
_VALIDATORS: Final[Mapping[str, Any]] = {
    "minimum": ge,
    "maximum": le,
    "minLength": min_len,
    "maxLength": max_len,
    "enum": in_,
}


# ---- reading -------------------------------------------------------------------------------------------------------


def load_bot_file(path: str | Path, env: str | None = None) -> AnyFunction:
    """Return the bot of a TOML file, with the settings of an environment: `[env.production]` for `"production"`.

    The Python files in `plugins` are imported. Raise `BotError` with the file and the key of every mistake.
    """
    path = Path(path)
    written = _with_environment(path, _parsed(path), env)
    settings = cast(_Settings, written)
    kinds = _kinds(path, settings.get("services", {}))
    talk = _function(path, written, kinds, _turn_taking(path, settings.get("turn_taking", {})))
    plugins = settings.get("plugins", ())
    _load_files(path, [each for each in plugins if each.endswith(".py")], sys.modules[talk.__module__])
    declare = bot(
        services={name: _providers(path, name, each) for name, each in settings.get("services", {}).items()},
        config=_config(path, settings, kinds),
        client=[_grant(each) for each in settings.get("client", ())],
        functions=[_grant(each) for each in settings.get("functions", ())],
        plugins=[each for each in plugins if not each.endswith(".py")],
        public=settings.get("public", False),
    )
    return declare(talk)


def _parsed(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise BotError(f"There is no file {str(path)!r}.")
    try:
        written = tomllib.loads(path.read_text("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise BotError(f"{path} is not TOML: byte {error.start} is not UTF-8. Save the file as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        hint = next((f" {how}" for problem, how in _TOML_HINTS.items() if problem in str(error)), "")
        raise BotError(f"{path} is not TOML: {error}.{hint}") from None
    _, problems = check(_SHAPE, written)
    if problems:
        raise BotError("\n".join(f"{path}: {_key(each.path)}{_in_toml(each)}" for each in problems))
    return written


def _in_toml(problem: Problem) -> str:
    """Return the text of a problem. TOML calls an object a table, and each key below its head is of that table."""
    expected, comma, found = problem.message.partition(", got")
    text = expected.replace("an object", "a table") + comma + found
    table, _, key = problem.path.rpartition(".")
    if key not in _KEYS or not (text.startswith("unknown field") or table.endswith(_FREE)):
        return text
    return f"{text}{'' if text.endswith(('.', '?')) else '.'} {_MISPLACED}"


def _key(path: str) -> str:
    """Return a JSON path as the key of a table, with a colon."""
    key = path.removeprefix("$").removeprefix(".")
    return f"{key}: " if key else ""


def _with_environment(path: Path, written: Mapping[str, Any], env: str | None) -> dict[str, Any]:
    """Return the file's values with those of the environment."""
    values = {name: value for name, value in written.items() if name != "env"}
    environments: Mapping[str, Any] = written.get("env", {})
    if env is None:
        return values
    if env not in environments:
        near = nearest(env, environments)
        known = f"it has {', '.join(environments)}." if environments else "it has no environments."
        raise BotError(f"{path} has no [env.{env}]; {f'did you mean {near!r}?' if near else known}")
    chosen: Mapping[str, Any] = environments[env]
    return values | {name: _merged(values.get(name), value, name in _MERGED) for name, value in chosen.items()}


def _merged(old: Any, new: Any, deep: bool) -> Any:
    if not deep or not isinstance(old, dict) or not isinstance(new, dict):
        return new
    one, other = cast("dict[str, Any]", old), cast("dict[str, Any]", new)
    return one | {name: _merged(one.get(name), value, deep) for name, value in other.items()}


# ---- parts ---------------------------------------------------------------------------------------------------------


def _kinds(path: Path, services: Mapping[str, _Written | _Service]) -> dict[str, Kind]:
    """Return the kind of each service: its name, unless the file gives another one."""
    kinds: dict[str, Kind] = {}
    for name, written in services.items():
        if not name.isidentifier():
            raise BotError(f"{path}: services.{name}: a service's name has letters, digits and _ only. Write another.")
        given = cast(_Service, written)["kind"] if _is_whole(written) else name
        if given not in BUILTIN_KINDS:
            known = ", ".join(BUILTIN_KINDS)
            how = f'Write {name} = {{kind = "llm", providers = […]}}.' if given == name else f"Kinds: {known}."
            how = _MISPLACED if name in _KEYS else how
            raise BotError(f"{path}: services.{name}: {given!r} is not a kind of a conversation. {how}")
        kind = BUILTIN_KINDS[given]
        if kind in kinds.values():
            raise BotError(f"{path}: services.{name}: a conversation can have only one {given}. Remove the others.")
        kinds[name] = kind
    by_kind = {kind.name: name for name, kind in kinds.items()}
    if "speech" in by_kind and (other := next((each for each in ("llm", "stt", "tts") if each in by_kind), None)):
        raise BotError(f"{path}: services.{by_kind[other]}: a speech service replaces {other}. Remove one of them.")
    if not {"llm", "speech"} & {*by_kind}:
        raise BotError(f'{path}: services: a conversation needs an llm or a speech service. Write llm = "rules".')
    if "vad" in by_kind and not {"stt", "speech"} & {*by_kind}:
        raise BotError(f"{path}: services.{by_kind['vad']}: the user is not heard without an stt. Add one.")
    return kinds


def _is_whole(written: _Written | _Service) -> bool:
    return isinstance(written, Mapping) and "kind" in written


def _providers(path: Path, name: str, written: _Written | _Service) -> Providers:
    listed = cast(_Service, written)["providers"] if _is_whole(written) else cast(_Written, written)
    if isinstance(listed, str | Mapping):
        return _provider(path, name, listed)
    return [_provider(path, name, each) for each in listed]


def _provider(path: Path, name: str, written: str | _Failover) -> str | Failover:
    if isinstance(written, str):
        return written
    seconds = written.get("seconds", Failover.SECONDS)
    if (problem := failover_problem(written["failover"], seconds)) is not None:
        raise BotError(f"{path}: services.{name}: failover {problem}")
    return Failover(*written["failover"], seconds=seconds)


def _config(path: Path, settings: _Settings, kinds: Mapping[str, Kind]) -> Mapping[str, Mapping[str, Any]]:
    """Return the config with the prompt as the first message of the LLM or the speech-to-speech model."""
    config = {name: dict(values) for name, values in settings.get("config", {}).items()}
    if "prompt" in settings:
        service = next(name for name, kind in kinds.items() if kind.name in ("llm", "speech"))
        values = config.setdefault(service, {})
        if "messages" in values:
            raise BotError(f"{path}: prompt: config.{service}.messages is given too. Remove one of them.")
        values["messages"] = [{"role": "system", "content": settings["prompt"]}]
    return config


def _turn_taking(path: Path, written: _TurnTaking) -> TurnTaking:
    try:
        return TurnTaking(**written)
    except AuthorError as error:
        raise BotError(f"{path}: turn_taking: {error}") from None


def _load_files(path: Path, names: Sequence[str], module: ModuleType) -> None:
    """Import Python files beside the bot file into the module of the bot, so that their declarations are its own."""
    module.__file__ = str(path.absolute())
    for name in names:
        if Path(name).is_absolute():
            raise BotError(f"{path}: plugins: {name!r} is absolute. Put the file into the folder of {path.name}.")
        try:
            loaded = load_file(path.absolute().parent / name)
        except BotError as error:
            raise BotError(f"{path}: plugins: {error}") from None
        setattr(module, loaded.__name__, loaded)


def _grant(written: str | GrantTable) -> str | Grant:
    if isinstance(written, str):
        return written
    return Grant(
        written["name"],
        *_validators(written),
        arguments={name: and_(*_validators(bounds)) for name, bounds in written.get("arguments", {}).items()},
        writable=written.get("writable", True),
    )


def _validators(written: Mapping[str, Any]) -> list[Any]:
    return [_VALIDATORS[name](bound) for name, bound in written.items() if name in _VALIDATORS]


def _function(path: Path, written: Mapping[str, Any], kinds: Mapping[str, Kind], taking: TurnTaking) -> AnyFunction:
    """Return the bot's function, in a module of its own."""
    texts = {name: written[name] for name in ("greeting", "apology", "filler") if name in written}
    if "filler" in texts and BUILTIN_KINDS["speech"] in kinds.values():
        raise BotError(f"{path}: filler: a speech-to-speech model cannot say a sentence while it waits. Remove it.")

    async def talk(session: Session, /, **services: Any) -> None:
        by_kind = {kinds[name].name: service for name, service in services.items()}
        await converse(session, taking=taking, **by_kind, **texts)

    function: AnyFunction = talk
    name = str(written.get("name") or re.sub(r"\W", "_", path.stem))
    module = _module(path)
    function.__name__ = function.__qualname__ = name
    function.__module__ = module.__name__
    function.__doc__ = written.get("description")
    session = inspect.Parameter("session", inspect.Parameter.POSITIONAL_ONLY, annotation=Session)
    named = [inspect.Parameter(each, inspect.Parameter.KEYWORD_ONLY, annotation=kinds[each].protocol) for each in kinds]
    dressed: Any = function
    dressed.__signature__ = inspect.Signature([session, *named], return_annotation=None)
    function.__annotations__ = {each.name: each.annotation for each in (session, *named)} | {"return": None}
    setattr(function, BOT_FILE, str(path))
    setattr(module, name, function)
    return function


def _module(path: Path) -> ModuleType:
    """Return a module for one bot: declarations are read from the module of a bot's function."""
    name = free_name(re.sub(r"\W", "_", path.name))
    module = sys.modules[name] = ModuleType(name, f"The bot file {path}.")
    return module
