"""The turn-taking policy: whether the user can interrupt the bot, and when the user has finished."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from attrs import Attribute, field, frozen
from attrs.validators import optional

from ..errors import AuthorError
from ..kinds import Transcript
from .texts import TextSource, is_text_source

__all__ = ("EndOfTurn", "TurnTaking", "UserTurn", "at_least_0", "at_once", "is_seconds")


@frozen
class UserTurn:
    """The user's turn so far, while the user is silent. This is the argument of `end_of_turn`."""

    #: Everything that was recognised.
    text: str
    #: How long the user has spoken, in seconds.
    seconds: float
    #: The final transcripts, with the language, confidence, speaker and words that the STT has reported.
    transcripts: tuple[Transcript, ...] = ()


#: Returns how many more seconds of silence to wait for before the bot answers. If the user goes on, the turn goes on.
EndOfTurn: TypeAlias = Callable[[UserTurn], Awaitable[float]]


async def at_once(turn: UserTurn) -> float:
    """End the turn with the silence that ended the speech, `stop_secs` of the VAD."""
    return 0.0


def _is(what: str, is_valid: Callable[[Any], bool]) -> Any:
    """Return a validator for a field, so that a mistake is reported where it is written."""

    def check(holder: object, attribute: Attribute[Any], value: object) -> None:
        if not is_valid(value):
            raise AuthorError(f"{type(holder).__name__}({attribute.name}={value!r}): give {what}.")

    return check


def is_seconds(value: object) -> bool:
    """Return whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


#: The validator of a field with seconds that may be 0.
at_least_0: Any = _is("a finite number of seconds, 0 or more", lambda value: is_seconds(value) and value >= 0)
_ABOVE_0: Any = _is("a finite number of seconds, more than 0", lambda value: is_seconds(value) and value > 0)
_POLICY: Any = _is("a coroutine function that takes a UserTurn and returns seconds", callable)
_FLAG: Any = _is("True or False", lambda value: isinstance(value, bool))
_TEXT: Any = _is("a text, or a function that returns one", is_text_source)


@frozen(kw_only=True)
class TurnTaking:
    """The turn-taking policy of a spoken conversation. An invalid value raises `AuthorError`."""

    #: A coroutine function that is called when the user is silent and everything they said is recognised. It returns
    #: how many more seconds of silence to wait for before the bot answers. The default returns 0.
    end_of_turn: EndOfTurn = field(default=at_once, validator=_POLICY)
    #: Whether speech interrupts the bot. If not, the bot does not listen during its turn.
    interruptible: bool = field(default=True, validator=_FLAG)
    #: How many seconds of uninterrupted speech interrupt the bot during its turn. Shorter speech is ignored then.
    interrupt_seconds: float = field(default=0.2, validator=at_least_0)
    #: A turn of the user with this many seconds of speech ends, and is answered. The bot listens again after a pause.
    longest_turn_seconds: float = field(default=60.0, validator=_ABOVE_0)
    #: After how many seconds of the user's silence the bot says `idle_text`. With None it never does.
    idle_seconds: float | None = field(default=None, validator=optional(_ABOVE_0))
    #: The question to a silent user. The bot asks it once, until the user says or writes something.
    #: It may be a function that returns the question each time, such as in the user's language.
    idle_text: TextSource = field(default="Are you still there?", validator=_TEXT)
