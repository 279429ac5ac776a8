"""`UnfinishedSentence`, an end-of-turn policy that needs no model: it waits longer after an unfinished sentence."""

from __future__ import annotations

import re
from typing import Final

from attrs import field, frozen

from .turn_taking import UserTurn, at_least_0

__all__ = ("UnfinishedSentence",)

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

#: "I think so", "Is that so", "or so" end. Any other "so" goes on, as in "We are three people, so".
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
