"""The decorators `service`, `options` and `action`.

Each marks a function and returns the same function, so that it can be called, tested and type-checked as it is.
Importing a module registers nothing: declarations are collected when a bot is composed. A mistake of the author is a
`DeclarationError` with the author's file and line.

The module has more than 300 lines because type checkers need an overload for each kind, beside its function.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypeAlias, TypeVar, cast, overload

from typing_extensions import TypedDict, Unpack

from ..errors import DeclarationError
from ..kinds import BUILTIN_KINDS, LLM, STT, TTS, VAD, Kind, SpeechModel
from ..session import Session
from ..utils.json_values import json_problem
from ..utils.names import is_valid_name
from .injected import check_own_name, injected, is_for_bot, kind_name, read_targets, reject_bare
from .lifespan import check_context_manager, lifespan_value, secret_of
from .signature import check_flag, check_function, read_result, read_signature, reject_result, reject_unknown
from .specs import (
    BOT,
    ActionSpec,
    AnyFunction,
    BotService,
    Given,
    LifespanValue,
    OptionsSpec,
    Parameter,
    ProviderSpec,
    SecretSpec,
    mark,
)
from .types import UnsupportedType, Validator
from .validators import restriction

__all__ = ("PROTOCOL_TYPES", "action", "options", "service")

#: The types of message that the protocol itself reads. No action can handle one of them.
PROTOCOL_TYPES = (
    "client-ready",
    "describe-actions",
    "describe-config",
    "get-config",
    "update-config",
    "action",
    "client-message",
    "send-text",
    "append-to-context",
    "llm-function-call-result",
    "disconnect-bot",
)


P = ParamSpec("P")

R = TypeVar("R")

T = TypeVar("T")

OpensLLM = TypeVar("OpensLLM", bound="Callable[..., AbstractAsyncContextManager[LLM]]")

OpensTTS = TypeVar("OpensTTS", bound="Callable[..., AbstractAsyncContextManager[TTS]]")

OpensSTT = TypeVar("OpensSTT", bound="Callable[..., AbstractAsyncContextManager[STT]]")

OpensVAD = TypeVar("OpensVAD", bound="Callable[..., AbstractAsyncContextManager[VAD]]")

OpensSpeech = TypeVar("OpensSpeech", bound="Callable[..., AbstractAsyncContextManager[SpeechModel]]")

Opens = TypeVar("Opens", bound="Callable[..., AbstractAsyncContextManager[Any]]")

F = TypeVar("F", bound=Callable[..., Any])


_Kind: TypeAlias = Literal["llm", "tts", "stt", "vad", "speech"]


class _OnService(Protocol[T]):
    """Marks a function whose first parameter is the live service, or the session if it needs no service."""

    @overload
    def __call__(self, function: Callable[Concatenate[T, P], R], /) -> Callable[Concatenate[T, P], R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Session, P], R], /) -> Callable[Concatenate[Session, P], R]: ...


class _OnBot(Protocol):
    """Marks a function of a bot. It takes the session first, or nothing before its `/`."""

    def __call__(self, function: F, /) -> F: ...


class _OptionsKeywords(TypedDict, total=False):
    last: bool
    narrowed: Mapping[str, Validator] | None


class _BotOptionsKeywords(_OptionsKeywords, total=False):
    service: str


class _ServiceKeywords(TypedDict, total=False):
    key_page: str
    asyncio_only: bool


class _ActionKeywords(TypedDict, total=False):
    long: bool
    deadline: float | None
    finish: bool
    repeatable: bool
    narrowed: Mapping[str, Validator] | None


class _BotActionKeywords(_ActionKeywords, total=False):
    service: str
    message: str


# ---- service -------------------------------------------------------------------------------------------------------


@overload
def service(
    kind: Literal["llm"], provider: str, /, **keywords: Unpack[_ServiceKeywords]
) -> Callable[[OpensLLM], OpensLLM]: ...


@overload
def service(
    kind: Literal["tts"], provider: str, /, **keywords: Unpack[_ServiceKeywords]
) -> Callable[[OpensTTS], OpensTTS]: ...


@overload
def service(
    kind: Literal["stt"], provider: str, /, **keywords: Unpack[_ServiceKeywords]
) -> Callable[[OpensSTT], OpensSTT]: ...


@overload
def service(
    kind: Literal["vad"], provider: str, /, **keywords: Unpack[_ServiceKeywords]
) -> Callable[[OpensVAD], OpensVAD]: ...


@overload
def service(
    kind: Literal["speech"], provider: str, /, **keywords: Unpack[_ServiceKeywords]
) -> Callable[[OpensSpeech], OpensSpeech]: ...


@overload
def service(kind: Kind, provider: str, /, **keywords: Unpack[_ServiceKeywords]) -> Callable[[Opens], Opens]: ...


def service(*given: Any, key_page: str = "", asyncio_only: bool = False, **unknown: Any) -> Any:
    """Declare a provider of a kind: an async context manager that yields the live service.

    Parameters before the `/` are the keys that it needs, each a `Secret`, or `Secret | None` if it works without, and
    values of lifespans.
    Parameters after it are service options. They come from the operator only, and are fixed while the service is open.
    `key_page` is the URL of the page where the vendor's customers make keys, for messages about a missing or refused
    key. See `rtvi_plugins.kinds.ChecksKey` for a service that checks its key. `asyncio_only` says that it does not run
    on trio, for example because of the vendor's SDK: it is not opened there.
    """
    reject_bare("service", given)

    def declare(function: AnyFunction) -> AnyFunction:
        check_function("service", function)
        if len(given) != 2:
            raise DeclarationError(function, "@service takes a kind and a provider: write @service('llm', 'acme').")
        reject_unknown(function, "service", unknown, ("key_page", "asyncio_only"))
        check_context_manager("service", function)
        kind, provider = given
        if not is_valid_name(provider):
            message = f"has the provider name {provider!r}. Use only letters, digits, '-' and '_'."
            raise DeclarationError(function, message)
        signature = read_signature(function, given="", example="", defaults=True)
        name = kind_name(function, kind)
        protocol = kind.protocol if isinstance(kind, Kind) else BUILTIN_KINDS[name].protocol
        keys_and_values = tuple(_key_or_value(function, *each) for each in signature.given.items())
        spec = ProviderSpec(
            name, protocol, provider, function, keys_and_values, signature.sent, signature.doc, key_page, asyncio_only
        )
        _check_key_page(function, key_page, spec)
        check_flag(function, "asyncio_only", asyncio_only)
        return mark(function, spec)

    return declare


def _check_key_page(function: AnyFunction, page: Any, spec: ProviderSpec) -> None:
    if page == "":
        return
    if not isinstance(page, str) or not page.startswith("https://") or not page.isprintable() or " " in page:
        message = f"key_page= is the URL of a page, as in 'https://acme.example/keys', not {page!r}."
        raise DeclarationError(function, message)
    if not spec.secrets:
        message = "has a key_page=, but takes no key. Remove it, or take a Secret before the '/'."
        raise DeclarationError(function, message)


def _key_or_value(function: AnyFunction, name: str, annotation: Any) -> SecretSpec | LifespanValue:
    key_or_value = secret_of(name, annotation) or lifespan_value(name, annotation)
    if key_or_value is None:
        message = f"{name!r} is before the '/', where a service takes keys and values of lifespans. Annotate it with "
        message += "Secret, or with the class that a @lifespan yields. A service option is after the '/'."
        raise DeclarationError(function, message)
    return key_or_value


# ---- options -------------------------------------------------------------------------------------------------------


@overload
def options(target: Literal["llm"], /, **keywords: Unpack[_OptionsKeywords]) -> _OnService[LLM]: ...


@overload
def options(target: Literal["tts"], /, **keywords: Unpack[_OptionsKeywords]) -> _OnService[TTS]: ...


@overload
def options(target: Literal["stt"], /, **keywords: Unpack[_OptionsKeywords]) -> _OnService[STT]: ...


@overload
def options(target: Literal["vad"], /, **keywords: Unpack[_OptionsKeywords]) -> _OnService[VAD]: ...


@overload
def options(target: Literal["speech"], /, **keywords: Unpack[_OptionsKeywords]) -> _OnService[SpeechModel]: ...


@overload
def options(target: _Kind, another: _Kind, /, **keywords: Unpack[_OptionsKeywords]) -> _OnBot: ...


@overload
def options(target: Kind, /, **keywords: Unpack[_OptionsKeywords]) -> _OnBot: ...


@overload
def options(
    target: Literal["bot"] | Callable[Concatenate[Session, ...], Any], /, **keywords: Unpack[_BotOptionsKeywords]
) -> _OnBot: ...


@overload
def options(
    target: Callable[..., AbstractAsyncContextManager[T]],
    /,
    *more: Callable[..., AbstractAsyncContextManager[T]],
    **keywords: Unpack[_OptionsKeywords],
) -> _OnService[T]: ...


def options(
    *targets: Any,
    last: bool = False,
    narrowed: Mapping[str, Validator] | None = None,
    service: str | None = None,
    **unknown: Any,
) -> Any:
    """Declare a group of options of one or several providers, of a kind, or of a bot.

    The function is called with all values of its group when the service opens, and whenever one of them changes. It
    runs on the event loop and must not block. Parameters before the `/` are the live service and then, if wanted, the
    `Session` and values of lifespans. Parameters after it are the options, each with its default.

    A group of a kind is called when the session starts and on change. If it takes the live service, it is also called
    for a new one. `last` groups are applied after all others. `narrowed` restricts what clients may set, unless a
    bot's grant says otherwise.

    A group of a bot is called like that of a kind. It takes the `Session`. Clients see its options under the service
    "bot", or under the name that `service` gives.
    """
    reject_bare("options", targets)

    def declare(function: AnyFunction) -> AnyFunction:
        check_function("options", function)
        reject_unknown(function, "options", unknown, ("last", "narrowed", "service"))
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise DeclarationError(function, "is async, but an options function is not awaited. Write def.")
        if inspect.isgeneratorfunction(function):
            raise DeclarationError(function, "is a generator, but an options function only sets values. Remove yield.")
        check_flag(function, "last", last)
        check_own_name(function, service, targets)
        example = "(llm: AcmeLLM, /, model: str = 'small')"
        given = "an options function takes the service and, if it wants it, the session"
        if is_for_bot(targets):
            given, example = "an options function of a bot takes the session", "(session: Session, /, tone: str = '')"
        signature = read_signature(function, given=given, example=example, defaults=True)
        if not signature.sent:
            raise DeclarationError(function, "declares no option. Name at least one after the '/'.")
        reject_result(function, "an options function", signature.returns)
        passed = injected(function, signature, targets)
        if any(isinstance(each, BotService) for each in passed):
            raise DeclarationError(function, f"may have only the session before the '/', as in {example}.")
        spec = OptionsSpec(
            targets=read_targets(function, targets),
            function=function,
            parameters=signature.sent,
            given=passed,
            last=last,
            doc=signature.doc,
            narrowed=_narrowed(function, signature.sent, narrowed, "options"),
            service=BOT if service is None else service,
        )
        return mark(function, spec)

    return declare


# ---- action --------------------------------------------------------------------------------------------------------


@overload
def action(target: Literal["llm"], /, **keywords: Unpack[_ActionKeywords]) -> _OnService[LLM]: ...


@overload
def action(target: Literal["tts"], /, **keywords: Unpack[_ActionKeywords]) -> _OnService[TTS]: ...


@overload
def action(target: Literal["stt"], /, **keywords: Unpack[_ActionKeywords]) -> _OnService[STT]: ...


@overload
def action(target: Literal["vad"], /, **keywords: Unpack[_ActionKeywords]) -> _OnService[VAD]: ...


@overload
def action(target: Literal["speech"], /, **keywords: Unpack[_ActionKeywords]) -> _OnService[SpeechModel]: ...


@overload
def action(target: _Kind, another: _Kind, /, **keywords: Unpack[_ActionKeywords]) -> _OnBot: ...


@overload
def action(target: Kind, /, **keywords: Unpack[_ActionKeywords]) -> _OnBot: ...


@overload
def action(
    target: Literal["bot"] | Callable[Concatenate[Session, ...], Any], /, **keywords: Unpack[_BotActionKeywords]
) -> _OnBot: ...


@overload
def action(
    target: Callable[..., AbstractAsyncContextManager[T]],
    /,
    *more: Callable[..., AbstractAsyncContextManager[T]],
    **keywords: Unpack[_ActionKeywords],
) -> _OnService[T]: ...


def action(
    *targets: Any,
    long: bool = False,
    deadline: float | None = None,
    finish: bool = True,
    repeatable: bool = False,
    narrowed: Mapping[str, Validator] | None = None,
    service: str | None = None,
    message: str | None = None,
    **unknown: Any,
) -> Any:
    """Declare an action of one or several providers, of a kind, or of a bot.

    The function's name is the action's. Parameters before the `/` are the live service and then, if wanted, the
    `Session` and values of lifespans; for a bot, the `Session`, values of lifespans, and services of the bot by their
    names, in any order. Parameters after it are the arguments. `async def` runs on the event loop; `def` runs in a
    worker thread.

    Clients see an action of a bot under the service "bot", or under the name that `service` gives. With `message`, it
    is also called by the `client-message` of this type. It then takes one argument at most: the data of the message.

    `deadline`, in seconds, may be shorter than the session's. A `long` action is answered at once with a job id; its
    progress and its result follow as messages. `finish=False` cancels an action that the LLM called if the user
    interrupts; by default it goes on, and the LLM reads its result later. A `repeatable` action changes nothing outside
    of its session, or may do so twice: in a session that is saved, it starts without waiting for the store. `narrowed`
    restricts the arguments that clients may send, unless a bot's grant says otherwise.
    """
    reject_bare("action", targets)

    def declare(function: AnyFunction) -> AnyFunction:
        check_function("action", function)
        known = ("long", "deadline", "finish", "repeatable", "narrowed", "service", "message")
        reject_unknown(function, "action", unknown, known)
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            problem = "is a generator. An action returns one result: use return, or session.send."
            raise DeclarationError(function, problem)
        for flag, setting in (("long", long), ("finish", finish), ("repeatable", repeatable)):
            check_flag(function, flag, setting)
        _check_time(function, long, deadline, finish)
        needs = "" if is_for_bot(targets) else "an action takes the service and, if it wants it, the session"
        signature = read_signature(function, given=needs, example="(tts: TTS, session: Session, /, text: str)")
        check_own_name(function, service, targets)
        _check_message(function, message, signature.sent, is_for_bot(targets))
        given = injected(function, signature, targets)
        called = _undeprecated(function)
        is_async = inspect.iscoroutinefunction(called)
        if Given.SESSION in given and not is_async:
            problem = "takes the session, but runs in a thread, where the session must not be used. "
            raise DeclarationError(function, f"{problem}Write async def, and call what blocks with anyio.to_thread.")
        spec = ActionSpec(
            targets=read_targets(function, targets),
            name=function.__name__,
            function=called,
            parameters=signature.sent,
            result=read_result(function, signature),
            given=given,
            is_async=is_async,
            long=long,
            deadline=deadline,
            finish=finish,
            narrowed=_narrowed(function, signature.sent, narrowed),
            deprecated=getattr(function, "__deprecated__", None),
            doc=signature.doc,
            service=BOT if service is None else service,
            message=message,
            repeatable=repeatable,
        )
        return mark(function, spec)

    return declare


def _check_time(function: AnyFunction, long: bool, deadline: Any, finish: bool) -> None:
    is_number = isinstance(deadline, int | float) and not isinstance(deadline, bool)
    if deadline is not None and not (is_number and 0 < deadline < math.inf):
        problem = f"deadline= is a number of seconds above 0, as in 2.5, not {deadline!r}."
    elif long and deadline is not None:
        problem = "is long=True, so it has no deadline. Remove deadline=."
    elif long and not finish:
        problem = "is long=True, so an LLM cannot call it. Remove finish=."
    else:
        return
    raise DeclarationError(function, problem)


def _check_message(function: AnyFunction, message: Any, sent: Mapping[str, Parameter], of_bot: bool) -> None:
    """Reject an invalid `message=` of an action, and one whose data has no single argument."""
    if message is None:
        return
    if not isinstance(message, str) or not message or json_problem(message) is not None:
        problem = f"has message={message!r}, which is no type of a message. Write a text, as in message='set-language'."
    elif not of_bot:
        problem = "has message=, which only an action of a bot has. Write @action(mybot, message=…), or remove it."
    elif message in PROTOCOL_TYPES:
        problem = f"has message={message!r}, which is a type of the protocol itself. Choose another."
    elif len(sent) > 1:
        problem = f"has message=, so it takes one argument, the data of the message, not {len(sent)}: {list(sent)}. "
        problem += "Write one argument of an attrs class or a TypedDict."
    else:
        return
    raise DeclarationError(function, problem)


def _undeprecated(function: AnyFunction) -> AnyFunction:
    # The wrapper of @deprecated warns the caller, but when a client calls, the caller is the framework. And before
    # Python 3.12, `inspect` does not recognise the wrapper of a coroutine function as one.
    inner: AnyFunction = getattr(function, "__wrapped__", function)
    return inner if hasattr(function, "__deprecated__") else function


def _narrowed(
    function: AnyFunction, sent: Mapping[str, Parameter], narrowed: Any, what: str = "arguments"
) -> Mapping[str, Validator]:
    if not isinstance(narrowed, Mapping | None):
        raise DeclarationError(function, "narrowed= is a mapping of validators, as in narrowed={'text': max_len(200)}.")
    validators = dict(cast("Mapping[str, Validator]", narrowed or {}))
    for name, validator in validators.items():
        if name not in sent:
            raise DeclarationError(function, f"narrowed= names {name!r}, which is not one of its {what}: {list(sent)}.")
        try:
            restriction(sent[name].shape, validator)
        except UnsupportedType as error:
            raise DeclarationError(function, f"narrowed= of {name!r} {error}.") from None
    return validators
