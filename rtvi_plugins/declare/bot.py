"""The decorator `bot`, and the checks of its arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypeAlias, TypeGuard, TypeVar, cast, overload

from typing_extensions import TypedDict, Unpack

from ..errors import DeclarationError
from ..kinds import Kind, kind_of
from ..session import Session
from ..utils.error_texts import authors_line
from ..utils.json_values import is_array
from .annotations import read_hints
from .failover import Failover
from .grant import Grant
from .lifespans import lifespan_value
from .signature import check_function, is_session, reject_hidden_async, reject_result, reject_unknown
from .specs import AnyFunction, BotSpec, Choice, Given, Injected, mark
from .state import check_bot_annotation, read_state
from .types import summary

__all__ = ("Providers", "bot")


P = ParamSpec("P")

S = TypeVar("S")

#: The end of the name of a provider that may be missing.
_OPTIONAL = "?"

BotFunction = TypeVar("BotFunction", bound="Callable[Concatenate[Session, ...], Coroutine[Any, Any, None]]")


class _OfState(Protocol[S]):
    """Marks a bot whose sessions have a state of this class."""

    def __call__(
        self, function: Callable[Concatenate[Session[S], P], Coroutine[Any, Any, None]], /
    ) -> Callable[Concatenate[Session[S], P], Coroutine[Any, Any, None]]: ...


#: What `services=` has for one service.
Providers: TypeAlias = "str | Failover | Sequence[str | Failover]"


class _BotKeywords(TypedDict, total=False):
    services: Mapping[str, Providers] | None
    config: Mapping[str, Mapping[str, Any]] | None
    client: Sequence[str | Grant]
    functions: Sequence[str | Grant]
    plugins: Sequence[str]
    public: bool


@overload
def bot(*, state: type[S], **keywords: Unpack[_BotKeywords]) -> _OfState[S]: ...


@overload
def bot(*, state: None = None, **keywords: Unpack[_BotKeywords]) -> Callable[[BotFunction], BotFunction]: ...


def bot(
    *bare: Any,
    state: Any = None,
    services: Mapping[str, Providers] | None = None,
    config: Mapping[str, Mapping[str, Any]] | None = None,
    client: Sequence[str | Grant] = (),
    functions: Sequence[str | Grant] = (),
    plugins: Sequence[str] = (),
    public: bool = False,
    **unknown: Any,
) -> Any:
    """Declare a bot: a coroutine function that takes the `Session` before the `/` and its services after it.

    Values of lifespans follow the session, before the `/`.

    `services` names the providers of each service. The first is the default; clients may choose among several. A name
    that ends with `?`, as in `["whisper?", "pocketsphinx"]`, is left out where the provider is not installed. A
    `Failover` lists providers that take over from each other. `config` holds the bot's defaults by service, or by
    `"service.provider"`. `client` lists what clients are granted, each by name or as a `Grant`: an option as
    `"llm.model"`, an action as `"tts:say"`, switching as `"llm.provider"`. `functions` lists the actions that the bot's
    LLM may call, such as `"bot:book_room"`. `plugins` names installed modules of actions and hooks. With `public`,
    anyone may start a session. `state` is the class of `session.state`: an attrs class or a TypedDict that JSON can
    carry, with a default for each field.
    """
    mistaken: AnyFunction
    if bare and not callable(bare[0]):
        raise DeclarationError(None, f"@bot ({authors_line()}) takes its arguments by name: @bot(services={{…}}).")
    for mistaken in bare:
        check_function("bot", mistaken)
        raise DeclarationError(mistaken, "is under a bare @bot. Write @bot() or @bot(services={…}).")

    def declare(function: AnyFunction) -> AnyFunction:
        check_function("bot", function)
        lists = {"client": client, "functions": functions, "plugins": plugins}
        reject_unknown(function, "bot", unknown, ("services", "config", *lists, "public", "state"))
        _check_bot_arguments(function, services, config, public, lists)
        reject_hidden_async(function)
        if not inspect.iscoroutinefunction(function):
            raise DeclarationError(function, "is not a coroutine function. Write async def.")
        hints = read_hints(function)
        annotation, given = _before_the_slash(function, hints)
        reject_result(function, "a bot", hints.get("return"))
        choices = {name: _provider_choices(each) for name, each in (services or {}).items()}
        named = {
            name: tuple(dict.fromkeys(label for choice in of_service for label in choice.labels))
            for name, of_service in choices.items()
        }
        kinds = _bot_kinds(function, named, hints)
        spec = BotSpec(
            name=function.__name__,
            function=function,
            services=named,
            optional=_optional_providers(services or {}),
            choices=choices,
            kinds={name: each.name for name, each in kinds.items()},
            protocols={name: each.protocol for name, each in kinds.items()},
            config={name: dict(values) for name, values in (config or {}).items()},
            grants=_listed_grants(client),
            functions=_listed_grants(functions),
            plugins=tuple(plugins),
            public=public,
            doc=summary(function.__doc__),
            given=given,
            state=read_state(function, state),
        )
        check_bot_annotation(function, annotation, spec)
        return mark(function, spec)

    return declare


def _before_the_slash(function: AnyFunction, hints: Mapping[str, Any]) -> tuple[Any, tuple[Injected, ...]]:
    """Return the annotation of the session, and what is passed before the `/`: the session, and values of lifespans."""
    parameters = inspect.signature(function).parameters.values()
    before = [parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_ONLY]
    annotation = hints.get(before[0], Session) if before else None
    if not (is_session(annotation) or annotation in (Any, object)):
        message = "before the '/' a bot takes the session, as in (session: Session, /, llm: LLM)."
        raise DeclarationError(function, message)
    values = [(name, lifespan_value(name, hints.get(name))) for name in before[1:]]
    for name, value in values:
        if value is None:
            message = f"takes {name!r} before the '/'. After the session, annotate it with the class that a @lifespan "
            raise DeclarationError(
                function, f"{message}yields. A service is after the '/', as in (session: Session, /, llm: LLM)."
            )
    return annotation, (Given.SESSION, *(value for _, value in values if value is not None))


def _listed_grants(named: Sequence[str | Grant]) -> tuple[Grant, ...]:
    return tuple(Grant(each) if isinstance(each, str) else each for each in named)


def _listed_providers(providers: Providers) -> tuple[str | Failover, ...]:
    return (providers,) if isinstance(providers, str | Failover) else tuple(providers)


def _provider_choices(providers: Providers) -> tuple[Choice, ...]:
    """Return what clients may choose among: a provider alone, or with those that take over when it fails."""
    return tuple(
        Choice(tuple(label.removesuffix(_OPTIONAL) for label in listed.providers), listed.seconds)
        if isinstance(listed, Failover)
        else Choice((listed.removesuffix(_OPTIONAL),))
        for listed in _listed_providers(providers)
    )


def _optional_providers(services: Mapping[str, Providers]) -> frozenset[tuple[str, str]]:
    """Return each service with each of its providers that may be missing."""
    return frozenset(
        (service, label.removesuffix(_OPTIONAL))
        for service, providers in services.items()
        for listed in _listed_providers(providers)
        for label in (listed.providers if isinstance(listed, Failover) else (listed,))
        if label.endswith(_OPTIONAL)
    )


def _bot_kinds(function: AnyFunction, services: Mapping[str, Any], hints: Mapping[str, Any]) -> Mapping[str, Kind]:
    """Return the kind of each service, from the Protocol that annotates its parameter."""
    after = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is not parameter.POSITIONAL_ONLY
    ]
    if {each.name for each in after} != set(services):
        names = f"takes {[each.name for each in after]} after the '/', but services= names {list(services)}."
        raise DeclarationError(function, names)
    for each in after:
        if each.default is not each.empty:
            raise DeclarationError(function, f"{each.name!r} is a service and is always passed. Remove its default.")
    return {each.name: _kind_of_service(function, each.name, hints.get(each.name)) for each in after}


def _kind_of_service(function: AnyFunction, name: str, annotation: Any) -> Kind:
    if (kind := kind_of(annotation)) is not None:
        return kind
    message = f"annotate {name!r} with the Protocol of a kind, as in llm: LLM, or avatar: Avatar beside its Kind."
    raise DeclarationError(function, message)


# ---- arguments -----------------------------------------------------------------------------------------------------


def _check_bot_arguments(
    function: AnyFunction, services: Any, config: Any, public: Any, lists: Mapping[str, Any]
) -> None:
    """Reject arguments of `@bot` that have the wrong type."""
    if not isinstance(services, Mapping | None):
        raise DeclarationError(function, "services= is a mapping, as in services={'llm': ['rules', 'openai']}.")
    named = cast("Mapping[Any, Any]", services or {})
    for name, providers in named.items():
        _check_providers(function, name, providers)
    if not _is_config(config):
        raise DeclarationError(function, "config= is a mapping of mappings, as in config={'llm': {'model': 'small'}}.")
    if not isinstance(public, bool):
        raise DeclarationError(function, f"public= is True or False, not {public!r}.")
    for name, value in lists.items():
        _check_listed_names(function, name, value)


def _is_config(config: Any) -> bool:
    return config is None or (_has_string_keys(config) and all(_has_string_keys(values) for values in config.values()))


def _has_string_keys(value: Any) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping) and all(isinstance(each, str) for each in cast("Mapping[Any, Any]", value))


def _check_providers(function: AnyFunction, service: Any, providers: Any) -> None:
    named = [providers] if isinstance(providers, str | Failover) else providers
    if not isinstance(service, str) or not is_array(named):
        hint = "write the name of a provider, or a list of names."
        raise DeclarationError(function, f"services= names {providers!r} for {service!r}: {hint}")
    if not named:
        raise DeclarationError(function, f"services= names no provider for {service!r}.")
    if service == "bot":
        raise DeclarationError(function, "services= uses the name 'bot', which is reserved. Choose another.")
    for each in named:
        if not isinstance(each, str | Failover) or (isinstance(each, str) and not each.removesuffix(_OPTIONAL)):
            raise DeclarationError(
                function, f"services= names {each!r} for {service!r}, which is not a provider's name."
            )
    choices = [choice.labels for choice in _provider_choices(named)]
    for labels in ([choice[0] for choice in choices], *choices):
        for label in labels:
            if labels.count(label) > 1:
                raise DeclarationError(function, f"services= names {label!r} for {service!r} twice. Remove one.")


def _check_listed_names(function: AnyFunction, argument: str, value: Any) -> None:
    if isinstance(value, str | Grant):
        raise DeclarationError(function, f"{argument}= is a list: write {argument}=[{value!r}].")
    if not is_array(value):
        raise DeclarationError(function, f"{argument}= is a list of names, not a {type(value).__name__}.")
    names: list[str] = []
    for each in value:
        if not isinstance(each, str | Grant) or (argument == "plugins" and isinstance(each, Grant)):
            kinds = "a name" if argument == "plugins" else "a name or a Grant"
            raise DeclarationError(function, f"{argument}= has {each!r}, which is not {kinds}.")
        names.append(each if isinstance(each, str) else each.name)
    for each in names:
        if names.count(each) > 1:
            raise DeclarationError(function, f"{argument}= has {each!r} twice. Remove one.")
