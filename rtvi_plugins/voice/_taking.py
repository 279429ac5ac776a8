"""How a spoken conversation changes hands: who may interrupt whom, and when the user has finished."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from attrs import frozen

__all__ = ("EndOfTurn", "TurnTaking", "UserTurn", "at_once")


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


@frozen(kw_only=True)
class TurnTaking:
    """The manners of a spoken conversation. Times in seconds.

    `end_of_turn` decides whether somebody who is silent has finished; it may ask a model. Speech of at least
    `interrupt_seconds` silences the bot, unless it is not `interruptible`. Whoever speaks for `longest_turn_seconds`
    is answered. A user who says nothing for `idle_seconds` after the bot has spoken is asked `idle_text`, once.
    """

    end_of_turn: EndOfTurn = at_once
    interruptible: bool = True
    interrupt_seconds: float = 0.2
    longest_turn_seconds: float = 60.0
    idle_seconds: float | None = None
    idle_text: str = "Are you still there?"
