"""Words of names and sentences: what a name is made of, and the phrase that follows a word."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from string import capwords

from .numbers import numbers

__all__ = (
    "alike",
    "content_stems",
    "introduces",
    "is_question",
    "persons_name",
    "phrase_after",
    "quoted",
    "rest_after",
    "stem",
    "stems",
    "title",
    "words_of",
)

#: Words that tell no function or argument from another.
_PLAIN = frozenset(
    """a about add an and any are ask at be by call check client create current do does fetch find for from function
    get give given has have how i in into is it its lookup look make me my new number num of on one or our out
    please returns run set show some start tell that the their them this to up us user users using value was what
    when where which will with you your""".split()
)
#: Words at which a name or a place ends.
_STOPS = frozenset(
    """and are as at because but by for from if in is near now of on or please saying so that then this today tomorrow
    tonight under until using was which with would you""".split()
)
#: Words that stand after a preposition without being anybody's name.
_NOBODY = frozenset(
    """a an any anybody breakfast couple few her here him how it just last long me my next now our several sea some
    sure that them there these this those us week weekend what which you your""".split()
)

_ASKING = re.compile(
    r"^\W*(?:(?:and|but|so|oh|sorry|excuse me|hello|hi|well|wait|first|by the way)\b\W*)*"
    r"(?:what|when|where|who|which|why|how|is|are|do|does|did|can|could|may|will|would|have|has|should|until)\b",
    re.IGNORECASE,
)

Span = tuple[int, int]


def is_question(text: str) -> bool:
    """Return whether a text asks something, by its question mark or, as recognisers write none, by its first word."""
    return text.rstrip().endswith("?") or _ASKING.match(text) is not None


def words_of(name: str) -> list[str]:
    """Return the words of a text or of a name, in lower case: `book` and `room` for `bookRoom` and for `book_room`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W_]+", spaced.lower())


def title(name: str) -> str:
    """Return a name as it is spoken, as in `book room`; a name without any word stays as it is."""
    return " ".join(words_of(name)) or name


def persons_name(text: str) -> str:
    """Return the name of a person with its capitals: recognisers write all words in lower case."""
    return capwords(text) if text.islower() else text


#: A few words before it, and a name of up to three words after it.
_INTRODUCTION = re.compile(
    r"\W*(?:(?:yes|yeah|hello|hi|no|well|ok|okay|oh|and|sure)\b\W*)*"
    r"(?:(?:my|the) name(?:'s| is)|i am called|i'm called|(?:you can )?call me)\s+[\w'-]+(?:\s+[\w'-]+){0,2}\W*",
    re.IGNORECASE,
)


def introduces(text: str) -> bool:
    """Return whether a text does nothing but say the user's name."""
    return _INTRODUCTION.fullmatch(text) is not None


def stem(word: str) -> str:
    """Return a word without its ending: "book" for "books" and for "booking"."""
    for ending in ("ings", "ing", "es", "ed", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            return word.removesuffix(ending)
    return word


def content_stems(name: str) -> tuple[str, ...]:
    """Return the stems of the words of a text or a name, without words such as "the" and "get"."""
    return tuple(stem(word) for word in words_of(name) if word not in _PLAIN)


def stems(words: str) -> frozenset[str]:
    """Return the stems of these words, to look for them among the `content_stems` of a text."""
    return frozenset(map(stem, words.split()))


def alike(one: str, other: str) -> bool:
    """Return whether two stems belong to one word, such as "remind" and "reminder"."""
    short, long = sorted((one, other), key=len)
    return one == other or (len(short) >= 4 and long.startswith(short))


def quoted(text: str) -> tuple[str, Span] | None:
    """Return the first text in quotation marks, and its position."""
    found = re.search(r"[\"“](?P<inner>[^\"“”]+)[\"”]|(?<!\w)'(?P<single>[^']+)'(?!\w)", text)
    return ((found["inner"] or found["single"]).strip(), found.span()) if found else None


#: Between a lead and what follows it: no word may run on.
_EDGE = r"(?:(?<!\w)|(?!\w))"
_WORD = re.compile(r"[^\W\d_][\w'-]*|\d[\w.-]*\w|\S")
#: Names are short, and so a search for one never walks through a long text.
_MOST_WORDS, _MOST_CHARACTERS = 4, 120


def phrase_after(lead: str, text: str) -> Iterable[tuple[str, Span]]:
    """The names that follow a word (a pattern), such as "New York" after "in", and where they stand."""
    for match in re.finditer(rf"\b(?:{lead}){_EDGE}\s*(?:the\s+(?:name\s+(?:of\s+)?)?)?", text, re.IGNORECASE):
        found = quoted(text[match.end() :])
        if found and found[1][0] == 0:
            yield found[0], (match.end(), match.end() + found[1][1])
        elif words := list(_name(text, match.end())):
            span = (words[0].start(), words[-1].end())
            yield text[slice(*span)], span


def _name(text: str, start: int) -> Iterable[re.Match[str]]:
    """The words of a name; where the first is capitalised, only as far as they all are."""
    previous = None
    for match in islice(_WORD.finditer(text, start, start + _MOST_CHARACTERS), _MOST_WORDS):
        word = match[0]
        capitalised = word[0].isupper()
        if not word[0].isalnum() or word.lower() in _STOPS:
            return
        if previous is None and (word.lower() in _NOBODY or numbers(word)):
            return
        if previous is not None and previous and not capitalised:
            return
        previous = capitalised
        yield match


def rest_after(lead: str, text: str) -> Iterable[tuple[str, Span]]:
    """Yield each text between a match of the pattern `lead` and the end of its sentence, and the place of the text."""
    for match in re.finditer(rf"\b(?:{lead}){_EDGE}[\s:,]*", text, re.IGNORECASE):
        found = re.match(r"[^.!?]+", text[match.end() :])
        value = re.sub(r"\s+(?:on|at|by|in|for|and)$", "", found[0].strip(" \t\n\"'“”,")) if found else ""
        if found and value:
            yield value, (match.end(), match.end() + found.end())
