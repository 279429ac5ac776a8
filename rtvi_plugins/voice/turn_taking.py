"""The turn-taking policy: who may interrupt, when the user has finished, and what silent users hear.

A bot says some texts without being asked: fixed texts, or those that a function returns, for example in the user's
language. `UnfinishedSentence` is an end-of-turn function that needs no model: it waits longer after an unfinished
sentence.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias, cast

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
    "UnfinishedSentence",
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
    """The user's turn, while the user is silent. This is the argument of `end_of_turn`."""

    #: Everything that was recognised.
    text: str
    #: How long the user has spoken, in seconds.
    seconds: float
    #: The final transcripts, with the language, confidence, speaker and words that the STT has reported.
    transcripts: tuple[Transcript, ...] = ()


#: Returns how many more seconds of silence to wait for before the bot answers. If the user continues, the turn
#: continues.
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


#: English words that hardly ever end a sentence: conjunctions, articles, possessives, auxiliaries, hesitations.
_NEVER_LAST: Final = frozenset(
    """a an the and or but nor because although unless whereas if than
    my your his our their its
    i'm you're we're they're i'd i'll we'd we'll i've we've let's
    um uh uhm er erm hmm""".split()
)

#: English words that end a sentence only in a question such as "What is it for?", or after a verb of wishing.
_RARELY_LAST: Final = frozenset(
    """to of for from with at by about into between until during without
    is are was were am be been has had would could should will can may must
    which whose""".split()
)

_QUESTION: Final = re.compile(r"\b(what|where|who|whom|which|how|when|why)\b", re.IGNORECASE)

#: "I don't want to", "if you have to", "yes, I will", "I think he is": with a word of their own before it, these end.
_ENDS_WITH_AUXILIARY: Final = re.compile(
    r"(n't|\bnot) (\w+ )?to$|\b(love|have|need|glad|used) to$"
    r"|^(yes|no|yeah|sure|of course)\b.*\b(i|it|we|he|she|they|that) \w+$",
    re.IGNORECASE,
)

#: "Do I have to?", "Would you like to?", "Is that all they are?": with a question mark, these end.
_ENDS_QUESTION: Final = re.compile(
    r"\b(like|want|going|able|allowed|supposed|ought) to$"
    r"|\b(i|it|we|he|she|they|you|that) (is|are|was|were|am|have|has|had|would|could|should|will|can|may|must)$",
    re.IGNORECASE,
)

#: "I think so", "Is that so", "or so" end. Any other "so" is followed by more: "We are three people, so".
_ENDS_WITH_SO: Final = re.compile(
    r"\b(think|thought|hope|guess|believe|suppose|expect|say|said|says|told) so$"
    r"|\b(do|did|does|is|was|that|or|and|even|why|not) so$|^so$",
    re.IGNORECASE,
)

#: A telephone number is longer than this.
_NUMBER: Final = re.compile(r"\b(?:phone|telephone|mobile|cell|my) number( is|'s)?\b(.*)$", re.IGNORECASE)

_DIGIT: Final = re.compile(r"\d|\b(?:zero|oh|one|two|three|four|five|six|seven|eight|nine)\b", re.IGNORECASE)

_FEWEST_DIGITS: Final = 7


@frozen
class UnfinishedSentence:
    """An `end_of_turn` for English: wait `seconds` more if the last sentence is obviously not finished.

    If the STT reports whether the turn is over, in `Transcript.ends_turn`, this decides instead, in any language.

    Unfinished is text that ends with a word such as "and", "my" or "to", with a comma or dots, or in the middle of a
    telephone number. A full stop or a question mark after such a word is ignored, because recognisers guess them. All
    other text is answered at once, also in other languages.
    """

    seconds: float = field(default=1.5, validator=at_least_0)

    async def __call__(self, turn: UserTurn) -> float:
        """Return how many more seconds to wait."""
        reported = turn.transcripts[-1].ends_turn if turn.transcripts else None
        is_over = reported if reported is not None else not _is_unfinished(turn.text.strip())
        return 0.0 if is_over else self.seconds


def _is_unfinished(text: str) -> bool:
    if text.endswith((",", "...", "…", "-", "–", "—", ":")):
        return True
    # An STT may put a full stop anywhere, and a question mark after half a question: "Could you send it to?"
    sentence = re.split(r"[.!?] +", text.rstrip(" .!?"))[-1].replace("’", "'")
    if (number := _NUMBER.search(sentence)) is not None:
        digits = len(_DIGIT.findall(number[2]))
        return 0 < digits < _FEWEST_DIGITS or (bool(number[1]) and not number[2].strip())
    last = sentence.rpartition(" ")[2].lower()
    if last in _NEVER_LAST:
        return True
    if last == "so":
        return _ENDS_WITH_SO.search(sentence) is None
    if last not in _RARELY_LAST:
        return False
    if text.endswith("?") and _ENDS_QUESTION.search(sentence):
        return False
    return not (_QUESTION.search(sentence) or _ENDS_WITH_AUXILIARY.search(sentence))
