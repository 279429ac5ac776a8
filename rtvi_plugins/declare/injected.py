"""What the framework passes for the parameters before the `/` of options and actions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import DeclarationError
from ..kinds import BUILTIN_KINDS, Kind, kind_of
from ..session import Session
from ..utils.error_texts import where
from ..utils.names import nearest
from .lifespans import lifespan_value, secret_of, yielded
from .signature import Signature, is_session
from .specs import AnyFunction, BotService, BotSpec, Given, Injected, bots_of
from .state import check_annotation
from .targets import is_for_bot

__all__ = ("injected", "injection_problem")


def injected(function: AnyFunction, signature: Signature, targets: Sequence[Any]) -> tuple[Injected, ...]:
    """Return what the framework passes for the parameters before the `/`. For a bot, these may be in any order."""
    for annotation in signature.given.values():
        check_annotation(function, annotation, targets)
    if is_for_bot(targets):
        return _injected_by_bot(function, signature, targets)
    (first, live), *others = [*signature.given.items()] or [("", Session)]
    given: list[Injected] = []
    if not is_session(live):
        for target in targets:
            _check_kind_of_live_service(function, target, live)
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
    if secret_of(name, annotation) is not None:
        raise DeclarationError(
            function,
            f"takes the key {name!r}, which only a service takes. Keep it in the object that the service yields.",
        )
    value = lifespan_value(name, annotation)
    if value is None or any(annotation == yielded(target) for target in targets if callable(target)):
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


def _check_kind_of_live_service(function: AnyFunction, target: Any, live: Any) -> None:
    kind = target if isinstance(target, Kind) else BUILTIN_KINDS.get(target) if isinstance(target, str) else None
    if kind is None or live in (kind.protocol, Any, object):
        return
    other = next((each.name for each in BUILTIN_KINDS.values() if each.protocol is live), None)
    if other is not None:
        message = f"takes {live.__name__}, which is of kind {other!r}, but is declared on {kind.name!r}."
        raise DeclarationError(function, message)
