"""How a spoken conversation changes hands: who may interrupt whom, and when the user has finished."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from attrs import Attribute, field, frozen
from attrs.validators import optional

from ..errors import AuthorError

__all__ = ("EndOfTurn", "TurnTaking", "UserTurn", "at_once", "is_seconds")


@frozen
class UserTurn:
    """What the user has said so far, now that they are silent. `seconds` is how long they have spoken."""

    text: str
    seconds: float


#: How many more seconds of silence to wait for before the bot answers. The user may go on in them.
EndOfTurn: TypeAlias = Callable[[UserTurn], Awaitable[float]]


async def at_once(turn: UserTurn) -> float:
    """The silence that ended the speech, `stop_secs` of the VAD, ends the turn as well."""
    return 0.0


def _is(what: str, right: Callable[[Any], bool]) -> Any:
    """A check of a field of `TurnTaking`: what is wrong is told where it is written, not in the middle of a call."""

    def check(taking: object, attribute: Attribute[Any], value: object) -> None:
        if not right(value):
            raise AuthorError(f"TurnTaking({attribute.name}={value!r}): give {what}.")

    return check


def is_seconds(value: object) -> bool:
    """Whether this is a time that can be waited for."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_AT_LEAST_0: Any = _is("a finite number of seconds, 0 or more", lambda value: is_seconds(value) and value >= 0)
_ABOVE_0: Any = _is("a finite number of seconds, more than 0", lambda value: is_seconds(value) and value > 0)
_POLICY: Any = _is("a coroutine function that takes a UserTurn and returns seconds", callable)
_FLAG: Any = _is("True or False", lambda value: isinstance(value, bool))
_TEXT: Any = _is("a text", lambda value: isinstance(value, str))


@frozen(kw_only=True)
class TurnTaking:
    """The manners of a spoken conversation. Times in seconds. `AuthorError` for a value that cannot be.

    `end_of_turn` decides whether somebody who is silent has finished; it may ask a model. Speech of at least
    `interrupt_seconds` silences the bot, unless it is not `interruptible`. Whoever speaks for `longest_turn_seconds`
    is answered. A user who says nothing for `idle_seconds` after the bot has spoken is asked `idle_text`, once.
    """

    end_of_turn: EndOfTurn = field(default=at_once, validator=_POLICY)
    interruptible: bool = field(default=True, validator=_FLAG)
    interrupt_seconds: float = field(default=0.2, validator=_AT_LEAST_0)
    longest_turn_seconds: float = field(default=60.0, validator=_ABOVE_0)
    idle_seconds: float | None = field(default=None, validator=optional(_ABOVE_0))
    idle_text: str = field(default="Are you still there?", validator=_TEXT)
