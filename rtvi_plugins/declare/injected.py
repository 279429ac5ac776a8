"""The parameters before a function's `/`: the session with its state, the service or bot, the value of a `lifespan`.

The module has more than 300 lines because the parameters before the `/` of all decorators are checked here.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from enum import Enum
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import attrs
from typing_extensions import is_typeddict

from ..errors import DeclarationError
from ..kinds import BUILTIN_KINDS, Kind, kind_of
from ..session import Secret, Session
from ..utils.error_texts import authors_line, where
from ..utils.names import is_valid_name, nearest
from .annotations import read, read_hints
from .signature import (
    Signature,
    check_function,
    is_plain_function,
    is_session,
    problems_text,
    read_signature,
)
from .specs import (
    AnyFunction,
    BotService,
    BotSpec,
    Given,
    Injected,
    LifespanSpec,
    LifespanValue,
    ProviderSpec,
    SecretSpec,
    StateSpec,
    Target,
    bots_of,
    mark,
    specs_of,
)
from .to_json import to_json
from .types import UnsupportedType, check

__all__ = (
    "check_annotation",
    "check_bot_annotation",
    "check_context_manager",
    "check_own_name",
    "injected",
    "injection_problem",
    "is_for_bot",
    "kind_name",
    "lifespan",
    "lifespan_value",
    "read_state",
    "read_targets",
    "reject_bare",
    "secret_of",
    "service_problem",
    "yielded",
)

# ---- lifespans -----------------------------------------------------------------------------------------------------


Opens = TypeVar("Opens", bound="Callable[..., AbstractAsyncContextManager[Any]]")

_YIELDING = (AsyncGenerator, AsyncIterator, AsyncIterable, AbstractAsyncContextManager)


def lifespan(function: Opens, /) -> Opens:
    """Declare what is opened once, before the first session, and closed after the last: an async context manager.

    The bot, its actions, and the services and actions of the same plugin receive the value that it yields: they take a
    parameter before the `/` that is annotated with the same class. One that yields nothing is opened for every bot that
    uses its module. Parameters before its `/` are keys, each a `Secret`: `database(url: Secret, /)` reads
    `DATABASE_URL`. It has no others.
    """
    if not is_plain_function(function):
        raise DeclarationError(None, f"@lifespan decorates {function!r}. Write @lifespan, without parentheses.")
    if specs_of(function):
        message = f"@lifespan ({authors_line()}) names {function.__name__}(). Write @lifespan alone. It has no target: "
        raise DeclarationError(None, f"{message}a parameter before a '/' receives the value by its class.")
    check_function("lifespan", function)
    check_context_manager("lifespan", function)
    signature = read_signature(function, given="", example="")
    if signature.sent:
        name = next(iter(signature.sent))
        message = f"takes {name!r} after the '/', but nobody sends anything to a lifespan. Remove it."
        raise DeclarationError(function, message)
    given = {name: secret_of(name, annotation) for name, annotation in signature.given.items()}
    for name, secret in given.items():
        if secret is None:
            raise DeclarationError(
                function, f"takes {name!r} before the '/'. A lifespan takes only keys: annotate it with Secret."
            )
    secrets = tuple(each for each in given.values() if each is not None)
    annotation = yielded(function)
    if annotation is None:
        message = "does not say what it yields. Annotate it, as in -> AsyncGenerator[Menu], or -> AsyncGenerator[None]."
        raise DeclarationError(function, message)
    if annotation is not NoneType and (problem := _why_no_lifespan(annotation)) is not None:
        raise DeclarationError(
            function, f"yields {problem}, which no parameter can name. Yield an object of a class of your own."
        )
    return mark(function, LifespanSpec(function.__name__, function, annotation, secrets))


def secret_of(name: str, annotation: Any) -> SecretSpec | None:
    """Return the spec of the key that a parameter takes, or None if it takes no key."""
    if annotation is Secret:
        return SecretSpec(name, optional=False)
    optional = get_origin(annotation) in (Union, UnionType) and set(get_args(annotation)) == {Secret, NoneType}
    return SecretSpec(name, optional=True) if optional else None


def check_context_manager(decorator: str, function: AnyFunction) -> None:
    inner = inspect.unwrap(function)
    if inspect.isasyncgenfunction(function):
        message = f"is an async generator. Put @asynccontextmanager between @{decorator} and the function."
    elif not inspect.isasyncgenfunction(inner) and inspect.iscoroutinefunction(function):
        what = "service" if decorator == "service" else "value"
        message = f"is a coroutine function. Yield the {what} from it, under @asynccontextmanager."
    elif inspect.isgeneratorfunction(inner):
        message = "is a generator. Write async def under @asynccontextmanager."
    else:
        return
    raise DeclarationError(function, message)


def yielded(function: AnyFunction) -> Any:
    """Return the annotation of what a context manager yields; None if it has none."""
    returns = read_hints(function).get("return")
    args = get_args(returns)
    if get_origin(returns) not in _YIELDING or not args:
        return None
    return NoneType if args[0] is None else args[0]


def lifespan_value(name: str, annotation: Any) -> LifespanValue | None:
    """Return the value of a lifespan that a parameter before a `/` takes; None if no lifespan yields such a thing."""
    return LifespanValue(name, annotation) if _why_no_lifespan(annotation) is None else None


def _why_no_lifespan(annotation: Any) -> str | None:
    """Return the name of an annotation that identifies no lifespan: anything but a class of its own."""
    cls = get_origin(annotation) or annotation
    own = isinstance(cls, type) and cls.__module__ not in ("builtins", "typing", "collections.abc")
    if own and not is_session(cls) and cls is not Secret and kind_of(cls) is None and not issubclass(cls, Enum):
        return None
    return getattr(annotation, "__name__", str(annotation))


# ---- the state of a session ----------------------------------------------------------------------------------------


def read_state(function: AnyFunction, state: Any) -> StateSpec | None:
    """Return the declaration of a bot's state. Reject a class that JSON cannot carry, or that lacks a default."""
    if state is None:
        return None
    if not isinstance(state, type) or not (attrs.has(state) or is_typeddict(state)):
        written = state.__name__ if isinstance(state, type) else repr(state)
        raise DeclarationError(function, f"state= is an attrs class or a TypedDict, not {written}.")
    spec = StateSpec(state, _state_shape(function, state), dict if is_typeddict(state) else state)
    if required := spec.shape.schema["required"]:
        how = "write TypedDict, total=False" if is_typeddict(state) else "give each field a default"
        named = ", ".join(repr(each) for each in required)
        raise DeclarationError(function, f"state={state.__name__} begins without a value for {named}: {how}.")
    try:
        begins = to_json(spec.make())
    except Exception as error:
        raise DeclarationError(
            function, f"state={state.__name__} cannot begin: {type(error).__name__}: {error}"
        ) from None
    if problem := problems_text(check(spec.shape, begins)[1], begins):
        raise DeclarationError(function, f"state={state.__name__} begins with a value of another type: {problem}.")
    return spec


def _state_shape(function: AnyFunction, state: type[Any]) -> Any:
    lost = [each.name for each in (attrs.fields(state) if attrs.has(state) else ()) if not each.init]
    if lost:
        message = f"state={state.__name__} has {lost[0]!r} with init=False, which would not be stored. Remove it."
        raise DeclarationError(function, message)
    try:
        return read(state)
    except UnsupportedType as error:
        raise DeclarationError(function, f"state= {error}.") from None


def check_bot_annotation(function: AnyFunction, annotation: Any, bot: BotSpec) -> None:
    """Check that the session of a bot is annotated with the bot's own state, or with none."""
    if (state := _state_of(annotation)) is not None:
        _check_same_state(function, state, bot.state, "")


def check_annotation(function: AnyFunction, annotation: Any, targets: Sequence[Any]) -> None:
    """Check that the session of an action or options function is annotated with the state of its bots, or with none."""
    if (state := _state_of(annotation)) is None:
        return
    bots = bots_of(targets)
    if len(bots) < len(targets):
        raise DeclarationError(function, f"takes Session[{_state_name(state)}], but serves all bots. Write Session.")
    for each in bots:
        _check_same_state(function, state, each.state, f" of {where(each.function)}")


def _state_of(annotation: Any) -> Any:
    """Return the class in `Session[Order]`; None if the annotation names none."""
    state = next(iter(get_args(annotation)), None) if is_session(annotation) else None
    return None if state is Any else state


def _state_name(state: Any) -> str:
    return getattr(state, "__name__", str(state))


def _check_same_state(function: AnyFunction, given: Any, state: StateSpec | None, whose: str) -> None:
    written = _state_name(given)
    if state is None:
        raise DeclarationError(
            function, f"takes Session[{written}], but the bot{whose} declares no state. Write @bot(state={written})."
        )
    if given is not state.cls:
        right = _state_name(state.cls)
        raise DeclarationError(
            function, f"takes Session[{written}], but the state{whose} is {right}. Write Session[{right}]."
        )


# ---- targets -------------------------------------------------------------------------------------------------------


def reject_bare(decorator: str, targets: Sequence[Any]) -> None:
    """Reject `@action` without parentheses, which would take the decorated function for its target."""
    for each in targets:
        if not is_plain_function(each) or any(isinstance(spec, ProviderSpec | BotSpec) for spec in specs_of(each)):
            continue
        if inspect.isclass(each) and kind_of(each) is not None:  # a Protocol where its kind belongs
            continue
        message = f"is not a service or a bot. Decorate it with @service or @bot before @{decorator} names it, "
        message += f"or write @{decorator}(acme_llm) above it."
        if decorator == "service":
            message = "is under a bare @service. Write @service('llm', 'acme'), with a kind and a provider."
        if inspect.isfunction(each):
            raise DeclarationError(each, message)
        raise DeclarationError(None, f"{getattr(each, '__name__', each)!s} ({authors_line()}) {message}")


def read_targets(function: AnyFunction, targets: Sequence[Any]) -> tuple[Target, ...]:
    if not targets:
        raise DeclarationError(function, "names no target. Write @options(acme_llm) or @action('tts').")
    return tuple(_read_target(function, each) for each in targets)


def _read_target(function: AnyFunction, target: Any) -> Target:
    if isinstance(target, Kind):
        return target.name
    if isinstance(target, str):
        return target if target == "bot" else kind_name(function, target)
    if isinstance(target, type) and kind_of(target) is not None:
        return kind_name(function, target)
    if not any(isinstance(spec, ProviderSpec | BotSpec) for spec in specs_of(target)):
        name = where(target) if callable(target) else repr(target)
        message = f"the target {name} is not a service. Decorate it with @service first, or name a kind such as 'tts'."
        raise DeclarationError(function, message)
    found: AnyFunction = target
    return found


def kind_name(function: AnyFunction, kind: Any) -> str:
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


def injected(function: AnyFunction, signature: Signature, targets: Sequence[Any]) -> tuple[Injected, ...]:
    """Return what the framework passes for the parameters before the `/`. For a bot, these may be in any order."""
    for annotation in signature.given.values():
        check_annotation(function, annotation, targets)
    if is_for_bot(targets):
        return _injected_by_bot(function, signature, targets)
    (first, live), *others = [*signature.given.items()] or [("", Session)]
    given: list[Injected] = []
    if not is_session(live):
        for each in targets:
            _check_kind_of_live_service(function, each, live)
        given.append(Given.SERVICE)
    elif first:
        given.append(Given.SESSION)
    given += [_injected_after_first(function, name, annotation, targets) for name, annotation in others]
    _reject_two_sessions(function, given)
    return tuple(given)


def _injected_after_first(function: AnyFunction, name: str, annotation: Any, targets: Sequence[Any]) -> Injected:
    """Return what is passed for a parameter after the first one."""
    if is_session(annotation):
        return Given.SESSION
    value = lifespan_value(name, annotation)
    if value is None or any(annotation == yielded(each) for each in targets if callable(each)):
        message = f"takes {name!r} after another parameter before the '/'. The live service is the first one, once. "
        message += "After it come the session, and classes that a @lifespan yields."
        raise DeclarationError(function, message)
    return value


def _reject_two_sessions(function: AnyFunction, given: Sequence[Injected]) -> None:
    if given.count(Given.SESSION) > 1:
        raise DeclarationError(function, "takes the session twice before the '/'. Remove one.")


def _injected_by_bot(function: AnyFunction, signature: Signature, targets: Sequence[Any]) -> tuple[Injected, ...]:
    found: list[Injected] = []
    for name, annotation in signature.given.items():
        if is_session(annotation):
            found.append(Given.SESSION)
        elif kind_of(annotation) is not None:
            found.append(BotService(name, annotation))
        elif (value := lifespan_value(name, annotation)) is not None:
            found.append(value)
        else:
            message = "is before the '/'. Annotate it with Session, with the Protocol of a service of the bot that has "
            message += "this name, as in llm: LLM, or with the class that a @lifespan yields."
            raise DeclarationError(function, f"{name!r} {message}")
    _reject_two_sessions(function, found)
    for spec in bots_of(targets):
        if (problem := injection_problem(found, spec)) is not None:
            raise DeclarationError(function, problem)
    return tuple(found)


def injection_problem(given: Iterable[Injected], bot: BotSpec) -> str | None:
    """Return why a bot cannot pass its services to an action; None if it can."""
    for each in given:
        if not isinstance(each, BotService) or (protocol := bot.protocols.get(each.name)) is each.protocol:
            continue
        if protocol is not None:
            wrong = f"takes {each.name!r} as {each.protocol.__name__}, but it is {protocol.__name__} in"
            return f"{wrong} {where(bot.function)}. Write {each.name}: {protocol.__name__}."
        services = ", ".join(repr(name) for name in bot.protocols) or "none"
        near = nearest(each.name, bot.protocols)
        hint = f"Did you mean {near!r}?" if near else f"Its services: {services}."
        return f"takes the service {each.name!r}, which {where(bot.function)} does not have. {hint}"
    return None


def check_own_name(function: AnyFunction, service: Any, targets: Sequence[Any]) -> None:
    """Reject an invalid `service=` of an action or a group of options."""
    if service is None:
        return
    problem: str | None
    if not is_valid_name(service):
        problem = f"has service={service!r}, which is no name. Use only letters, digits, '-' and '_'."
    elif not is_for_bot(targets):
        problem = "has service=, which only actions and options of a bot have. Name a bot as the target, or remove it."
    else:
        problem = next(filter(None, (service_problem(service, each) for each in bots_of(targets))), None)
    if problem is not None:
        raise DeclarationError(function, problem)


def service_problem(service: str, bot: BotSpec) -> str | None:
    """Return why actions and options of a bot cannot have this service name; None if they can."""
    if service in bot.services:
        return f"has service={service!r}, which is a service of {where(bot.function)}. Choose another name."
    return None


def _check_kind_of_live_service(function: AnyFunction, target: Any, live: Any) -> None:
    kind = target if isinstance(target, Kind) else BUILTIN_KINDS.get(target) if isinstance(target, str) else None
    if kind is None or live in (kind.protocol, Any, object):
        return
    other = next((each.name for each in BUILTIN_KINDS.values() if each.protocol is live), None)
    if other is not None:
        message = f"takes {live.__name__}, which is of kind {other!r}, but is declared on {kind.name!r}."
        raise DeclarationError(function, message)


def is_for_bot(targets: Sequence[Any]) -> bool:
    """Return whether any target is a bot, or `"bot"` (all bots)."""
    return any(each == "bot" for each in targets) or bool(bots_of(targets))
