"""The turn-taking policy: who may interrupt, when the user has finished, and what silent users hear.

A bot says some texts of its own accord: fixed, or chosen each time by a function, such as in the user's
language.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, cast

from attrs import Attribute, field, frozen
from attrs.validators import optional

from ..errors import AuthorError, report
from ..kinds import Transcript
from ..utils.error_texts import where
from ..utils.plugin_calls import reraise_control_flow

__all__ = (
    "EndOfTurn",
    "TextSource",
    "TurnTaking",
    "UserTurn",
    "at_least_0",
    "at_once",
    "is_seconds",
    "is_text_source",
    "text_of",
)

#: A text, or a function that returns one. The function is called each time, and must not block.
TextSource: TypeAlias = str | Callable[[], str]


def is_text_source(value: object) -> bool:
    """Return whether a value is a text or may be a function that returns one."""
    return isinstance(value, str) or callable(value)


def text_of(source: TextSource) -> str:
    """Return the text to say now. If the function for it fails, that is logged, and the text is empty."""
    if isinstance(source, str):
        return source
    try:
        found = cast(object, source())
        if isinstance(found, str):
            return found
        raise AuthorError(f"{where(source)} returned {found!r}. Return a text.")
    except BaseException as error:
        reraise_control_flow(error)
        report(where(source), error)
        return ""


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


@frozen(kw_only=True)
class TurnTaking:
    """The turn-taking policy of a spoken conversation. An invalid value raises `AuthorError`."""

    #: A coroutine function that is called when the user is silent and everything they said is recognised. It returns
    #: how many more seconds of silence to wait for before the bot answers. The default returns 0.
    end_of_turn: EndOfTurn = field(
        default=at_once, validator=_is("a coroutine function that takes a UserTurn and returns seconds", callable)
    )
    #: Whether speech interrupts the bot. If not, the bot does not listen during its turn.
    interruptible: bool = field(default=True, validator=_is("True or False", lambda value: isinstance(value, bool)))
    #: How many seconds of uninterrupted speech interrupt the bot during its turn. Shorter speech is ignored then.
    interrupt_seconds: float = field(default=0.2, validator=at_least_0)
    #: A turn of the user with this many seconds of speech ends, and is answered. The bot listens again after a pause.
    longest_turn_seconds: float = field(default=60.0, validator=_ABOVE_0)
    #: After how many seconds of the user's silence the bot says `idle_text`. With None it never does.
    idle_seconds: float | None = field(default=None, validator=optional(_ABOVE_0))
    #: The question to a silent user. The bot asks it once, until the user says or writes something.
    #: It may be a function that returns the question each time, such as in the user's language.
    idle_text: TextSource = field(
        default="Are you still there?", validator=_is("a text, or a function that returns one", is_text_source)
    )
