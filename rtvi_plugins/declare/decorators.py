"""The four decorators: `service`, `options`, `action` and `bot`.

Each marks its function and returns the same function: it stays callable, testable and exactly typed. Nothing is
registered by importing; what is marked is found when a bot is composed (`_registry`). What an author got wrong is a
`DeclarationError` at the author's own line.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import NoneType, UnionType
from typing import (
    Any,
    Concatenate,
    Literal,
    Never,
    NoReturn,
    ParamSpec,
    Protocol,
    TypeVar,
    Union,
    get_args,
    get_origin,
    overload,
)

from ..errors import DeclarationError
from ..kinds import BUILTIN_KINDS, LLM, STT, TTS, VAD, Kind, kind_of
from ..session import Secret, Session
from ..utils.diagnostics import authors_line, nearest, where
from ..utils.names import is_valid_name
from .constraints import restriction
from .misuse import check_bot_arguments, check_function, deadline_problem, is_plain_function, refuse_unknown
from .shapes import UnsupportedType, Validator
from .signature import Signature, read_hints, read_result, read_signature, summary
from .specs import (
    ActionSpec,
    AnyFunction,
    BotSpec,
    Grant,
    OptionsSpec,
    Parameter,
    ProviderSpec,
    SecretSpec,
    Target,
    mark,
    specs_of,
)

__all__ = ("action", "bot", "options", "service")

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

OpensLLM = TypeVar("OpensLLM", bound="Callable[..., AbstractAsyncContextManager[LLM]]")
OpensTTS = TypeVar("OpensTTS", bound="Callable[..., AbstractAsyncContextManager[TTS]]")
OpensSTT = TypeVar("OpensSTT", bound="Callable[..., AbstractAsyncContextManager[STT]]")
OpensVAD = TypeVar("OpensVAD", bound="Callable[..., AbstractAsyncContextManager[VAD]]")
Opens = TypeVar("Opens", bound="Callable[..., AbstractAsyncContextManager[Any]]")
OnLLM = TypeVar("OnLLM", bound="Callable[Concatenate[LLM, ...], Any] | Callable[Concatenate[Session, ...], Any]")
OnTTS = TypeVar("OnTTS", bound="Callable[Concatenate[TTS, ...], Any] | Callable[Concatenate[Session, ...], Any]")
OnSTT = TypeVar("OnSTT", bound="Callable[Concatenate[STT, ...], Any] | Callable[Concatenate[Session, ...], Any]")
OnVAD = TypeVar("OnVAD", bound="Callable[Concatenate[VAD, ...], Any] | Callable[Concatenate[Session, ...], Any]")
F = TypeVar("F", bound=Callable[..., Any])


class _OnService(Protocol[T]):
    """Marks a function whose first parameter is the live service, or the session where it needs no service."""

    @overload
    def __call__(self, function: Callable[Concatenate[T, P], R], /) -> Callable[Concatenate[T, P], R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Session, P], R], /) -> Callable[Concatenate[Session, P], R]: ...


class _OnBot(Protocol):
    """Marks a function of a bot: its first parameter is the session, or it takes none."""

    def __call__(self, function: F, /) -> F: ...


# ---- service -------------------------------------------------------------------------------------------------------


@overload
def service(kind: Literal["llm"], provider: str, /) -> Callable[[OpensLLM], OpensLLM]: ...
@overload
def service(kind: Literal["tts"], provider: str, /) -> Callable[[OpensTTS], OpensTTS]: ...
@overload
def service(kind: Literal["stt"], provider: str, /) -> Callable[[OpensSTT], OpensSTT]: ...
@overload
def service(kind: Literal["vad"], provider: str, /) -> Callable[[OpensVAD], OpensVAD]: ...
@overload
def service(kind: Kind, provider: str, /) -> Callable[[Opens], Opens]: ...
def service(*given: Any, **unknown: Any) -> Any:
    """Declare a provider of a kind: an async context manager of the live service.

    Before the `/` stand the keys it needs, each a `Secret` (or `Secret | None` where it can do without). After it
    stand service options: they come from the operator only and are fixed while the service is open.
    `DeclarationError` at the function's line for anything that cannot be declared.
    """
    _refuse_bare("service", given)

    def declare(function: AnyFunction) -> AnyFunction:
        check_function("service", function)
        for name in unknown:
            raise DeclarationError(function, f"@service has no argument {name}=; write @service('llm', 'acme').")
        if len(given) != 2:
            raise DeclarationError(function, "@service takes a kind and a provider: write @service('llm', 'acme').")
        kind, provider = given
        if inspect.isasyncgenfunction(function):
            message = "is an async generator. Put @asynccontextmanager between @service and the function."
            raise DeclarationError(function, message)
        if not inspect.isasyncgenfunction(inspect.unwrap(function)) and inspect.iscoroutinefunction(function):
            message = "is a coroutine function. Yield the service from it, under @asynccontextmanager."
            raise DeclarationError(function, message)
        if inspect.isgeneratorfunction(inspect.unwrap(function)):
            raise DeclarationError(function, "is a generator. Write async def under @asynccontextmanager.")
        if not is_valid_name(provider):
            message = f"the provider's name {provider!r} must be a word without '.' and ':': letters, digits, '-', '_'."
            raise DeclarationError(function, message)
        signature = read_signature(function, given="", example="", defaults=True)
        name = _kind(function, kind)
        protocol = kind.protocol if isinstance(kind, Kind) else BUILTIN_KINDS[name].protocol
        secrets = _secrets(function, signature)
        return mark(function, ProviderSpec(name, protocol, provider, function, secrets, signature.sent, signature.doc))

    return declare


def _kind(function: AnyFunction, kind: Any) -> str:
    if isinstance(kind, Kind):
        return kind.name
    if isinstance(kind, type) and (meant := kind_of(kind)) is not None:
        written = repr(meant.name) if meant.name in BUILTIN_KINDS else f"the Kind of {kind.__name__}"
        raise DeclarationError(function, f"names the Protocol {kind.__name__}. Write {written} instead.")
    if not isinstance(kind, str) or kind not in BUILTIN_KINDS:
        near = nearest(str(kind), BUILTIN_KINDS)
        hint = f"did you mean {near!r}?" if near else f"use one of {', '.join(BUILTIN_KINDS)}, or a Kind of your own."
        raise DeclarationError(function, f"there is no kind {kind!r}; {hint}")
    return kind


def _secrets(function: AnyFunction, signature: Signature) -> tuple[SecretSpec, ...]:
    return tuple(SecretSpec(name, _is_optional(function, name, given)) for name, given in signature.given.items())


def _is_optional(function: AnyFunction, name: str, annotation: Any) -> bool:
    if annotation is Secret:
        return False
    if get_origin(annotation) in (Union, UnionType) and set(get_args(annotation)) == {Secret, NoneType}:
        return True
    raise DeclarationError(
        function, f"{name!r} stands before the '/', where a service takes keys only. Annotate it Secret."
    )


# ---- options -------------------------------------------------------------------------------------------------------


@overload
def options(
    target: Literal["llm"], /, *, last: bool = False, narrowed: Mapping[str, Validator] | None = None
) -> Callable[[OnLLM], OnLLM]: ...
@overload
def options(
    target: Literal["tts"], /, *, last: bool = False, narrowed: Mapping[str, Validator] | None = None
) -> Callable[[OnTTS], OnTTS]: ...
@overload
def options(
    target: Literal["stt"], /, *, last: bool = False, narrowed: Mapping[str, Validator] | None = None
) -> Callable[[OnSTT], OnSTT]: ...
@overload
def options(
    target: Literal["vad"], /, *, last: bool = False, narrowed: Mapping[str, Validator] | None = None
) -> Callable[[OnVAD], OnVAD]: ...
@overload
def options(target: Kind, /, *, last: bool = False, narrowed: Mapping[str, Validator] | None = None) -> _OnBot: ...
@overload
def options(
    target: Callable[..., AbstractAsyncContextManager[T]],
    /,
    *more: Callable[..., AbstractAsyncContextManager[T]],
    last: bool = False,
    narrowed: Mapping[str, Validator] | None = None,
) -> _OnService[T]: ...
def options(*targets: Any, last: bool = False, narrowed: Mapping[str, Validator] | None = None, **unknown: Any) -> Any:
    """Declare a group of options of one or several providers, or of a kind.

    The function means "this is how things are now": it is called with all values of its group when the service
    opens, and whenever one of them changes. It runs inline on the event loop and must not block. Before the `/` it
    takes the live service and, if it wants it, the `Session`; after it, each option with its default. A group of a
    kind runs at the start of the session and on change; one that takes the live service runs for a new one, too.
    `last` groups are applied after all others of an update. `narrowed` holds validators of options that apply to
    clients where a bot grants the option without saying otherwise.
    """
    _refuse_bare("options", targets)

    def declare(function: AnyFunction) -> AnyFunction:
        check_function("options", function)
        refuse_unknown(function, "options", unknown, ("last", "narrowed"))
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            message = "is async. An options function runs inline and only sets values: write def."
            raise DeclarationError(function, message)
        if inspect.isgeneratorfunction(function):
            raise DeclarationError(function, "is a generator. An options function only sets values: leave out yield.")
        _check_flag(function, "last", last)
        if any(each == "bot" or _is_bot(each) for each in targets):
            raise DeclarationError(function, "names a bot, which has no options. Declare them on one of its services.")
        example = "(llm: AcmeLLM, /, model: str = 'small')"
        given = "an options function takes the service and, if it wants it, the session"
        signature = read_signature(function, given=given, example=example, defaults=True)
        if not signature.sent:
            raise DeclarationError(function, "declares no option: name at least one after the '/'.")
        _refuse_result(function, "An options function", signature.returns)
        wants_service, wants_session = _wants(function, signature, targets)
        spec = OptionsSpec(
            targets=_targets(function, targets),
            function=function,
            parameters=signature.sent,
            wants_service=wants_service,
            wants_session=wants_session,
            last=last,
            doc=signature.doc,
            narrowed=_narrowed(function, signature.sent, narrowed, "options"),
        )
        return mark(function, spec)

    return declare


def _refuse_bare(decorator: str, targets: Sequence[Any]) -> None:
    """Refuse `@action` without parentheses: what it stands on would be taken for the target, and be lost."""
    for each in targets:
        if not is_plain_function(each) or any(isinstance(spec, ProviderSpec | BotSpec) for spec in specs_of(each)):
            continue
        if inspect.isclass(each) and kind_of(each) is not None:  # a Protocol where its kind belongs
            continue
        message = f"is no service and no bot. Decorate it with @service or @bot before @{decorator} names it; "
        message += f"or write @{decorator}(acme_llm) above it, with what it belongs to."
        if decorator == "service":
            message = "is under a bare @service. Write @service('llm', 'acme'), with a kind and a provider."
        if inspect.isfunction(each):
            raise DeclarationError(each, message)
        raise DeclarationError(None, f"{getattr(each, '__name__', each)!s} ({authors_line()}) {message}")


def _targets(function: AnyFunction, targets: Sequence[Any]) -> tuple[Target, ...]:
    if not targets:
        raise DeclarationError(function, "names no target. Write @options(acme_llm) or @action('tts').")
    return tuple(_target(function, each) for each in targets)


def _target(function: AnyFunction, target: Any) -> Target:
    if isinstance(target, Kind):
        return target.name
    if isinstance(target, str):
        return target if target == "bot" else _kind(function, target)
    if isinstance(target, type) and kind_of(target) is not None:
        return _kind(function, target)
    if not any(isinstance(spec, ProviderSpec | BotSpec) for spec in specs_of(target)):
        name = where(target) if callable(target) else repr(target)
        message = f"the target {name} is no service. Decorate it with @service first, or name a kind, as 'tts'."
        raise DeclarationError(function, message)
    found: AnyFunction = target
    return found


def _wants(function: AnyFunction, signature: Signature, targets: Sequence[Any]) -> tuple[bool, bool]:
    """Whether the live service and the session stand before the `/`; in that order."""
    annotations = list(signature.given.values())
    wants_session = Session in annotations
    services = [each for each in annotations if each is not Session]
    if len(services) > 1 or annotations.count(Session) > 1 or (wants_session and annotations[-1] is not Session):
        message = "before the '/' takes the service and then, if it wants it, the session, and nothing else."
        raise DeclarationError(function, message)
    if services and any(each == "bot" or _is_bot(each) for each in targets):
        raise DeclarationError(function, "is a bot's own: before the '/' it takes the session, and no service.")
    for each in targets:
        _check_protocol(function, each, services)
    return bool(services), wants_session


def _check_protocol(function: AnyFunction, target: Any, services: Sequence[Any]) -> None:
    kind = target if isinstance(target, Kind) else BUILTIN_KINDS.get(target) if isinstance(target, str) else None
    if kind is None or not services or services[0] in (kind.protocol, Any, object):
        return
    other = next((each.name for each in BUILTIN_KINDS.values() if each.protocol is services[0]), None)
    if other is not None:
        message = f"takes {services[0].__name__}, which is of kind {other!r}, but is declared on {kind.name!r}."
        raise DeclarationError(function, message)


def _is_bot(target: Any) -> bool:
    return any(isinstance(spec, BotSpec) for spec in specs_of(target))


# ---- action --------------------------------------------------------------------------------------------------------


@overload
def action(
    target: Literal["llm"],
    /,
    *,
    long: bool = ...,
    deadline: float | None = ...,
    finish: bool = ...,
    narrowed: Mapping[str, Validator] | None = ...,
) -> Callable[[OnLLM], OnLLM]: ...
@overload
def action(
    target: Literal["tts"],
    /,
    *,
    long: bool = ...,
    deadline: float | None = ...,
    finish: bool = ...,
    narrowed: Mapping[str, Validator] | None = ...,
) -> Callable[[OnTTS], OnTTS]: ...
@overload
def action(
    target: Literal["stt"],
    /,
    *,
    long: bool = ...,
    deadline: float | None = ...,
    finish: bool = ...,
    narrowed: Mapping[str, Validator] | None = ...,
) -> Callable[[OnSTT], OnSTT]: ...
@overload
def action(
    target: Literal["vad"],
    /,
    *,
    long: bool = ...,
    deadline: float | None = ...,
    finish: bool = ...,
    narrowed: Mapping[str, Validator] | None = ...,
) -> Callable[[OnVAD], OnVAD]: ...
@overload
def action(
    target: Literal["bot"] | Kind | Callable[Concatenate[Session, ...], Any],
    /,
    *,
    long: bool = ...,
    deadline: float | None = ...,
    finish: bool = ...,
    narrowed: Mapping[str, Validator] | None = ...,
) -> _OnBot: ...
@overload
def action(
    target: Callable[..., AbstractAsyncContextManager[T]],
    /,
    *more: Callable[..., AbstractAsyncContextManager[T]],
    long: bool = ...,
    deadline: float | None = ...,
    finish: bool = ...,
    narrowed: Mapping[str, Validator] | None = ...,
) -> _OnService[T]: ...
def action(
    *targets: Any,
    long: bool = False,
    deadline: float | None = None,
    finish: bool = True,
    narrowed: Mapping[str, Validator] | None = None,
    **unknown: Any,
) -> Any:
    """Declare an action of one or several providers, of a kind, or of a bot (which clients see as service "bot").

    Its name is the function's. Before the `/` it takes the live service and, if it wants it, the `Session`; after
    it, the arguments. `async def` runs on the event loop; `def` runs in a bounded worker thread, abandoned at its
    deadline. `deadline` in seconds may shorten the session's (clients give up after 10 s). `long` actions are
    answered at once with a job's id; their progress and their end follow as messages. `narrowed` holds validators
    of arguments that apply where a bot grants the action without saying otherwise. An action that the bot's LLM has
    called goes on when the user interrupts, and the LLM reads its result later; `finish=False` cancels it instead.
    """
    _refuse_bare("action", targets)

    def declare(function: AnyFunction) -> AnyFunction:
        check_function("action", function)
        refuse_unknown(function, "action", unknown, ("long", "deadline", "finish", "narrowed"))
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            raise DeclarationError(
                function, "is a generator. An action returns one result: use return, or session.send."
            )
        _check_flag(function, "long", long)
        _check_flag(function, "finish", finish)
        if long and not finish:
            message = "is long=True, so no LLM calls it and no turn ends it. Leave out finish=."
            raise DeclarationError(function, message)
        if (problem := deadline_problem(deadline, long)) is not None:
            raise DeclarationError(function, problem)
        own = any(each == "bot" or _is_bot(each) for each in targets)
        given = "" if own else "an action takes the service and, if it wants it, the session"
        example = "(session: Session, /, text: str)" if own else "(tts: TTS, session: Session, /, text: str)"
        signature = read_signature(function, given=given, example=example)
        wants_service, wants_session = _wants(function, signature, targets)
        if wants_session and not inspect.iscoroutinefunction(function):
            message = "takes the session, but runs in a thread, where that must not be touched. Write async def, and "
            raise DeclarationError(function, f"{message}have anyio.to_thread.run_sync call what blocks.")
        spec = ActionSpec(
            targets=_targets(function, targets),
            name=function.__name__,
            function=_undeprecated(function),
            parameters=signature.sent,
            result=read_result(function, signature),
            wants_service=wants_service,
            wants_session=wants_session,
            is_async=inspect.iscoroutinefunction(function),
            long=long,
            deadline=deadline,
            finish=finish,
            narrowed=_narrowed(function, signature.sent, narrowed),
            deprecated=getattr(function, "__deprecated__", None),
            doc=signature.doc,
        )
        return mark(function, spec)

    return declare


def _undeprecated(function: AnyFunction) -> AnyFunction:
    # The wrapper of @deprecated warns whoever calls; when a client does, its author is the wrong one to warn.
    inner: AnyFunction = getattr(function, "__wrapped__", function)
    return inner if hasattr(function, "__deprecated__") else function


def _refuse_result(function: AnyFunction, what: str, returns: Any) -> None:
    if returns not in (None, NoneType, Any, Never, NoReturn):
        raise DeclarationError(function, f"is annotated to return something. {what} returns nothing: write -> None.")


def _check_flag(function: AnyFunction, name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise DeclarationError(function, f"{name}= is True or False, not {value!r}.")


def _narrowed(
    function: AnyFunction,
    sent: Mapping[str, Parameter],
    narrowed: Mapping[str, Validator] | None,
    what: str = "arguments",
) -> Mapping[str, Validator]:
    given: Any = narrowed
    if not isinstance(given, Mapping | None):
        raise DeclarationError(function, "narrowed= is a mapping of validators, as in narrowed={'text': max_len(200)}.")
    for name, validator in (narrowed or {}).items():
        if name not in sent:
            raise DeclarationError(function, f"narrowed= names {name!r}, which is not among its {what} {list(sent)}.")
        try:
            restriction(sent[name].shape, validator)
        except UnsupportedType as error:
            raise DeclarationError(function, f"narrowed= of {name!r} {error}.") from None
    return dict(narrowed or {})


# ---- bot -----------------------------------------------------------------------------------------------------------


BotFunction = TypeVar("BotFunction", bound="Callable[Concatenate[Session, ...], Coroutine[Any, Any, None]]")


def bot(
    *bare: Never,
    services: Mapping[str, str | Sequence[str]] | None = None,
    config: Mapping[str, Mapping[str, Any]] | None = None,
    client: Sequence[str | Grant] = (),
    functions: Sequence[str | Grant] = (),
    plugins: Sequence[str] = (),
    public: bool = False,
    **unknown: Never,
) -> Callable[[BotFunction], BotFunction]:
    """Declare a bot: a coroutine function that takes the `Session` before the `/` and its services after it.

    `services` names the providers that may fill each service, the first being the default; naming several lets
    clients choose among them. `config` holds the bot's own defaults by service, or by `"service.provider"`.
    `client` grants: `"llm.model"` an option, `"tts:say"` an action, `"llm.provider"` switching in mid-session, each
    a name or a `Grant`. `functions` grants actions, as in `"bot:book_room"`, to the bot's own LLM, which may call them
    as functions. `plugins` names installed modules of actions and hooks. `public` lets anyone start a
    session, with whatever that costs.
    """
    mistaken: AnyFunction
    for mistaken in bare:
        check_function("bot", mistaken)
        raise DeclarationError(mistaken, "is under a bare @bot. Write @bot() or @bot(services={…}).")

    def declare(function: BotFunction) -> BotFunction:
        check_function("bot", function)
        lists = {"client": client, "functions": functions, "plugins": plugins}
        refuse_unknown(function, "bot", unknown, ("services", "config", *lists, "public"))
        check_bot_arguments(function, services, config, public, lists)
        if not inspect.iscoroutinefunction(function):
            raise DeclarationError(function, "is not a coroutine function. Write async def.")
        hints = read_hints(function)
        _check_session(function, hints)
        _refuse_result(function, "A bot", hints.get("return"))
        named = {name: _labels(each) for name, each in (services or {}).items()}
        kinds = _bot_kinds(function, named, hints)
        spec = BotSpec(
            name=function.__name__,
            function=function,
            services=named,
            kinds={name: each.name for name, each in kinds.items()},
            protocols={name: each.protocol for name, each in kinds.items()},
            config={name: dict(values) for name, values in (config or {}).items()},
            grants=_grants(client),
            functions=_grants(functions),
            plugins=tuple(plugins),
            public=public,
            doc=summary(function),
        )
        return mark(function, spec)

    return declare


def _check_session(function: AnyFunction, hints: Mapping[str, Any]) -> None:
    parameters = inspect.signature(function).parameters.values()
    before = [each.name for each in parameters if each.kind is each.POSITIONAL_ONLY]
    if len(before) != 1 or hints.get(before[0], Session) not in (Session, Any, object):
        message = "before the '/' a bot takes the session, as in (session: Session, /, llm: LLM)."
        raise DeclarationError(function, message)


def _grants(named: Sequence[str | Grant]) -> tuple[Grant, ...]:
    return tuple(Grant(each) if isinstance(each, str) else each for each in named)


def _labels(providers: str | Sequence[str]) -> tuple[str, ...]:
    return (providers,) if isinstance(providers, str) else tuple(providers)


def _bot_kinds(function: AnyFunction, services: Mapping[str, Any], hints: Mapping[str, Any]) -> Mapping[str, Kind]:
    """The kind of each service, by the Protocol that its parameter is annotated with."""
    after = [each for each in inspect.signature(function).parameters.values() if each.kind is not each.POSITIONAL_ONLY]
    if {each.name for each in after} != set(services):
        names = f"takes {[each.name for each in after]} after the '/', but services= names {list(services)}."
        raise DeclarationError(function, names)
    for each in after:
        if each.default is not each.empty:
            raise DeclarationError(function, f"{each.name!r} is a service, which is always given. Remove its default.")
    return {each.name: _protocol_kind(function, each.name, hints.get(each.name)) for each in after}


def _protocol_kind(function: AnyFunction, name: str, annotation: Any) -> Kind:
    if (kind := kind_of(annotation)) is not None:
        return kind
    message = f"annotate {name!r} with the Protocol of a kind, as in llm: LLM, or avatar: Avatar beside its Kind."
    raise DeclarationError(function, message)
