"""The targets of options and actions, and what the framework passes for the parameters before their `/`."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import DeclarationError
from ..kinds import BUILTIN_KINDS, Kind, kind_of
from ..session import Session
from ..utils.error_texts import authors_line, where
from ..utils.names import is_valid_name, nearest
from .lifespan import lifespan_value, yielded
from .signature import Signature, is_plain_function, is_session
from .specs import AnyFunction, BotService, BotSpec, Given, Injected, ProviderSpec, Target, bots_of, specs_of
from .state import check_annotation

__all__ = (
    "check_own_name",
    "injected",
    "injection_problem",
    "is_for_bot",
    "kind_name",
    "read_targets",
    "reject_bare",
    "service_problem",
)


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
    injected_values: list[Injected] = []
    for name, annotation in signature.given.items():
        if is_session(annotation):
            injected_values.append(Given.SESSION)
        elif kind_of(annotation) is not None:
            injected_values.append(BotService(name, annotation))
        elif (value := lifespan_value(name, annotation)) is not None:
            injected_values.append(value)
        else:
            message = "is before the '/'. Annotate it with Session, with the Protocol of a service of the bot that has "
            message += "this name, as in llm: LLM, or with the class that a @lifespan yields."
            raise DeclarationError(function, f"{name!r} {message}")
    _reject_two_sessions(function, injected_values)
    for spec in bots_of(targets):
        if (problem := injection_problem(injected_values, spec)) is not None:
            raise DeclarationError(function, problem)
    return tuple(injected_values)


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
