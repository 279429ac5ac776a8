"""What `options` and `action` are declared on, and how type checkers compare a function with it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypeAlias, TypeVar, overload

from ..errors import DeclarationError
from ..kinds import BUILTIN_KINDS, Kind, kind_of
from ..session import Session
from ..utils.error_texts import authors_line, where
from ..utils.names import is_valid_name, nearest
from .signature import is_plain_function
from .specs import AnyFunction, BotSpec, ProviderSpec, Target, bots_of, specs_of

__all__ = (
    "KindName",
    "OnBot",
    "OnService",
    "check_own_name",
    "is_for_bot",
    "kind_name",
    "read_targets",
    "reject_bare",
    "service_problem",
)

P = ParamSpec("P")

R = TypeVar("R")

T = TypeVar("T")

F = TypeVar("F", bound=Callable[..., Any])

#: The name of a kind of the framework itself.
KindName: TypeAlias = Literal["llm", "tts", "stt", "vad", "speech"]


class OnService(Protocol[T]):
    """Marks a function whose first parameter is the live service, or the session if it needs no service."""

    @overload
    def __call__(self, function: Callable[Concatenate[T, P], R], /) -> Callable[Concatenate[T, P], R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Session, P], R], /) -> Callable[Concatenate[Session, P], R]: ...


class OnBot(Protocol):
    """Marks a function of a bot. It takes the session first, or nothing before its `/`."""

    def __call__(self, function: F, /) -> F: ...


# ---- the targets of a declaration ------------------------------------------------------------------------------------


def reject_bare(decorator: str, targets: Sequence[Any]) -> None:
    """Reject `@action` without parentheses, which would treat the decorated function as its target."""
    for target in targets:
        if not is_plain_function(target) or any(isinstance(spec, ProviderSpec | BotSpec) for spec in specs_of(target)):
            continue
        if inspect.isclass(target) and kind_of(target) is not None:  # a Protocol where its kind belongs
            continue
        message = f"is not a service or a bot. Decorate it with @service or @bot before @{decorator} names it, "
        message += f"or write @{decorator}(mybot) above it."
        if inspect.isfunction(target) and _is_not_yet_defined(target):
            message = f"is under a bare @{decorator}. Write @{decorator}(mybot), with the bot or the service it is for."
        if decorator == "service":
            message = "is under a bare @service. Write @service('llm', 'acme'), with a kind and a provider."
        if inspect.isfunction(target):
            raise DeclarationError(target, message)
        raise DeclarationError(None, f"{getattr(target, '__name__', target)!s} ({authors_line()}) {message}")


def _is_not_yet_defined(function: AnyFunction) -> bool:
    """Return whether a function of a module is still being decorated."""
    is_of_module = "<locals>" not in function.__qualname__
    return is_of_module and function.__globals__.get(function.__name__) is not function


def read_targets(function: AnyFunction, targets: Sequence[Any]) -> tuple[Target, ...]:
    if not targets:
        raise DeclarationError(function, "names no target. Write @action(mybot), @options(acme_llm) or @action('tts').")
    return tuple(_read_target(function, target) for target in targets)


def _read_target(function: AnyFunction, target: Any) -> Target:
    if isinstance(target, Kind):
        return target.name
    if isinstance(target, str):
        if target not in ("bot", *BUILTIN_KINDS) and specs_of(function.__globals__.get(target)):
            raise DeclarationError(function, f"names {target!r}, which is a function. Write it without quotes.")
        if target.partition(".")[0] in BUILTIN_KINDS and "." in target:
            raise DeclarationError(function, f"names {target!r}. Write the function of this service, without quotes.")
        return target if target == "bot" else kind_name(function, target)
    if isinstance(target, type) and kind_of(target) is not None:
        return kind_name(function, target)
    if not any(isinstance(spec, ProviderSpec | BotSpec) for spec in specs_of(target)):
        name = where(target) if callable(target) else repr(target)
        message = f"the target {name} is not a service. Decorate it with @service first, or name a kind such as 'tts'."
        raise DeclarationError(function, message)
    decorated: AnyFunction = target
    return decorated


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


def is_for_bot(targets: Sequence[Any]) -> bool:
    """Return whether any target is a bot, or `"bot"` (all bots)."""
    return any(target == "bot" for target in targets) or bool(bots_of(targets))


def check_own_name(function: AnyFunction, service: Any, targets: Sequence[Any]) -> None:
    """Reject an invalid `service=` of an action or a group of options."""
    if service is None:
        return
    problem: str | None
    if not is_valid_name(service):
        problem = f"has service={service!r}, which is not a name. Use only letters, digits, '-' and '_'."
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
