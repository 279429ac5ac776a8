"""The state of a bot's sessions: its class, and the annotation `Session[…]` of functions that use it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import attrs
from typing_extensions import is_typeddict

from ..errors import DeclarationError
from ..utils.error_texts import where
from .annotations import read
from .signature import is_session, problems_text
from .specs import AnyFunction, BotSpec, StateSpec, bots_of
from .to_json import to_json
from .types import UnsupportedType, check

__all__ = ("check_annotation", "check_bot_annotation", "read_state")


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
    for bot in bots:
        _check_same_state(function, state, bot.state, f" of {where(bot.function)}")


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
