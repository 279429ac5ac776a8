"""Values for a function's arguments, found in what the user said.

Every text is a `Reading` that remembers which of its words were used, so that "three nights for two guests" gives
each number to the argument that it stands beside.

The module is longer than others because each type of argument has its own searches, which share the reading.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import define, field

from .arguments import MISSING, Wanted, levels, wanted
from .conversation import as_mapping
from .days import DAY, capitalised, nights_in
from .numbers import DATE, Number, numbers
from .phrases import is_question, persons_name, phrase_after, quoted, rest_after, stems, words_of

__all__ = ("answer_to", "corrections", "extract", "states_number")


@define
class Reading:
    """A text that is being searched, what it is about, and the parts of it that are used up."""

    text: str
    about: tuple[str, ...] = ()
    used: list[tuple[int, int]] = field(factory=list[tuple[int, int]])

    def __attrs_post_init__(self) -> None:
        # The words that name the function are nobody's value: "I want to book a room" is for no one called that.
        self.used += self.naming()

    def naming(self) -> list[tuple[int, int]]:
        """Return the place of the words that name the function."""
        found = (re.finditer(rf"\b{re.escape(word)}\w*", self.text, re.IGNORECASE) for word in self.about)
        return [match.span() for matches in found for match in matches]

    def is_free(self, start: int, end: int) -> bool:
        return all(end <= a or b <= start for a, b in self.used)

    def use(self, start: int, end: int) -> None:
        self.used.append((start, end))

    @property
    def unused(self) -> str:
        """The text with a full stop at each place that is used up, so that no phrase runs across one."""
        letters = list(self.text)
        for start, end in self.used:
            letters[start:end] = "." * (end - start)
        return "".join(letters)

    def free_numbers(self) -> list[Number]:
        return [number for number in numbers(self.text) if self.is_free(number.start, number.end)]


def extract(arguments: Sequence[Wanted], text: str, *, about: Sequence[str] = (), loose: bool = True) -> dict[str, Any]:
    """The values that a text gives to these arguments. `about` holds the stems of the function's own words.

    `loose` also takes values that nothing but their type connects with an argument: for the text that asks for the
    function, and not for later answers, which are about one argument.
    """
    reading = Reading(text, tuple(about))
    found = {each.name: _labelled(each, reading) for each in arguments}
    if loose:
        found |= {each.name: _loose(each, reading) for each in arguments if found[each.name] is MISSING}
    return {name: value for name, value in found.items() if value is not MISSING}


def corrections(
    arguments: Sequence[Wanted], text: str, *, about: Sequence[str] = (), loose: bool = False
) -> dict[str, Any]:
    """Return the values by which a text corrects earlier ones, as in "no, four nights" and "make that Saturday".

    `loose` also takes a number or a name that stands alone, for a text that says that something is wrong.
    """
    said = _CORRECTING.sub("", _INSTEAD.sub("", text))
    found = extract(arguments, said, about=about, loose=False)
    if not loose or is_question(said):
        return found
    for argument in arguments:
        value = _alone(argument, said, about) if argument.required and argument.name not in found else MISSING
        if value is not MISSING:
            found[argument.name] = value
    return found


def _alone(argument: Wanted, said: str, about: Sequence[str]) -> Any:
    """Return the number or the name that makes up most of a text."""
    if argument.type == "string" and not _PERSON & set(argument.words):
        return MISSING
    value = _loose(argument, Reading(said, tuple(about)))
    is_short = argument.type == "string" and len(words_of(said)) <= _LONGEST_NAME and not DAY.search(said)
    return _bare(argument, Reading(said)) if value is MISSING and is_short else value


#: Words before a correction that are not part of it.
_CORRECTING = re.compile(
    r"^\W*(?:(?:no|nope|nah|wait|sorry|wrong|not|that(?:'s| is) (?:not right|wrong)|actually|i (?:said|meant?)|"
    r"make (?:it|that)|change (?:it|that) to|it should be|rather|please|but|and)\b\W*)+",
    re.IGNORECASE,
)
#: What something is not: "not Ann, Anna".
_INSTEAD = re.compile(r"\bnot\s+[\w']+\s*(?:,|\bbut\b)\s*", re.IGNORECASE)
#: How many words a person's name has at most.
_LONGEST_NAME = 4


def answer_to(argument: Wanted, text: str) -> Any:
    """Return the value for one argument from the answer to its question, or `MISSING`."""
    reading = Reading(text)
    for search in (_labelled, _loose, _bare):
        if (value := search(argument, reading)) is not MISSING:
            return value
    return MISSING


def states_number(argument: Wanted, text: str) -> bool:
    """Return whether a text has a number for this argument beside its name, such as "two nights"."""
    if argument.choices or argument.type not in ("integer", "number"):
        return False
    return _number_beside(argument, Reading(text)) is not MISSING


# ---- searching -----------------------------------------------------------------------------------------------------


def _labelled(argument: Wanted, reading: Reading) -> Any:
    if argument.choices:
        return _chosen(argument, reading)
    return _LABELLED.get(argument.type, _nothing)(argument, reading)


def _loose(argument: Wanted, reading: Reading) -> Any:
    if argument.choices:
        return MISSING
    return _LOOSE.get(argument.type, _nothing)(argument, reading)


def _nothing(argument: Wanted, reading: Reading) -> Any:
    return MISSING


def _chosen(argument: Wanted, reading: Reading) -> Any:
    spoken = {number.value: number for number in numbers(reading.text)}
    for choice in argument.choices:
        if isinstance(choice, str) and re.search(rf"(?<!\w){re.escape(choice)}(?!\w)", reading.text, re.IGNORECASE):
            return choice
        if isinstance(choice, int | float) and not isinstance(choice, bool) and choice in spoken:
            reading.use(spoken[choice].start, spoken[choice].end)
            return choice
    return MISSING


def _label(argument: Wanted) -> str:
    return rf"(?:{'|'.join(re.escape(word) for word in argument.words)})\w{{0,3}}"


def _number_beside(argument: Wanted, reading: Reading) -> Any:
    after = re.compile(rf"[\s-]+(?:\w+\s+)?{_label(argument)}\b", re.IGNORECASE)
    before = re.compile(rf"\b{_label(argument)}\s*(?:\b(?:is|are|of|to|at|number|by)\b|[:=])?\s*$", re.IGNORECASE)
    for number in reading.free_numbers():
        beside = after.match(reading.text, number.end) or before.search(reading.text[: number.start])
        if beside and (value := argument.fitting(number.value)) is not MISSING:
            reading.use(number.start, number.end)
            return value
    # A stay has words of its own: a week is seven nights.
    nights = nights_in(reading.text) if stems("nights") & set(argument.words) else None
    return MISSING if nights is None else argument.fitting(nights)


def _number_anywhere(argument: Wanted, reading: Reading) -> Any:
    if not argument.required or DAY.search(reading.text):  # the number may be part of a date
        return _number_beside(argument, reading)
    for number in reading.free_numbers():
        if (value := argument.fitting(number.value)) is not MISSING:
            reading.use(number.start, number.end)
            return value
    return MISSING


def _flag(argument: Wanted, reading: Reading) -> Any:
    negation = r"(?P<no>\b(?:no|not|without|don't)\s+(?:\w+\s+)?)?"
    found = re.search(rf"{negation}\b{_label(argument)}\b", reading.text, re.IGNORECASE)
    if found is None:
        return MISSING
    negated = found["no"] or re.match(
        r"\s*(?:is|=|:)?\s*(?:off|false|no)\b", reading.text[found.end() :], re.IGNORECASE
    )
    return not negated


def _string_labelled(argument: Wanted, reading: Reading) -> Any:
    if (value := _shaped(argument, reading)) is not MISSING:
        return value
    label = rf"\b{_label(argument)}(?:'s\b|\s+(?:is|of|to)\b|\s*[:=])?"
    return _phrase(argument, reading, [label])


#: Formats of strings that have a look of their own. Where the schema names one, nothing else will do.
_FORMATS: Mapping[str, re.Pattern[str]] = {
    "date": DATE,
    "email": re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"),
    "uri": re.compile(r"https?://[^\s<>\"']+"),
}


def _shaped(argument: Wanted, reading: Reading) -> Any:
    named = argument.schema.get("format")
    patterns = [_FORMATS[named]] if isinstance(named, str) and named in _FORMATS else []
    if not patterns and stems("date day when") & set(argument.words):
        patterns = [DATE, DAY]
    if not patterns and stems("email mail") & set(argument.words):
        patterns = [_FORMATS["email"]]
    found = (match for pattern in patterns for match in pattern.finditer(reading.text))
    free = (match for match in found if reading.is_free(*match.span()))
    return next((_take(reading, match.span(), capitalised(match[0])) for match in free), MISSING)


def _string_loose(argument: Wanted, reading: Reading) -> Any:
    if argument.schema.get("format") in _FORMATS:
        return MISSING
    if argument.required and (found := quoted(reading.text)) and reading.is_free(*found[1]):
        return _take(reading, found[1], found[0])
    value = _phrase(argument, reading, _leads(argument))
    return _tail(reading) if value is MISSING and argument.required and _FREE & set(argument.words) else value


def _tail(reading: Reading) -> Any:
    """Return the text after the words that name the function: "web search: the tallest tree"."""
    end = max((end for _, end in reading.naming()), default=len(reading.text))
    found = re.compile(r"[\s:,]*(?P<value>[^\s.!?][^.!?]*)").match(reading.unused, end)
    return _take(reading, found.span(), found["value"].strip()) if found else MISSING


def _phrase(argument: Wanted, reading: Reading, leads: Iterable[str]) -> Any:
    search = rest_after if _FREE & set(argument.words) else phrase_after
    for lead in leads:
        for value, span in search(lead, reading.unused):
            if reading.is_free(*span) and argument.allows_length(value):
                is_name = _PERSON & set(argument.words)
                return _take(reading, span, persons_name(value) if is_name else value)
    return MISSING


def _take(reading: Reading, span: tuple[int, int], value: str) -> str:
    reading.use(*span)
    return value


#: Arguments whose value is a sentence rather than a name.
_FREE = stems("body content message note query question reminder search task text")

#: Arguments whose value is the name of a person.
_PERSON = stems("name guest person customer contact caller attendee")
#: The words that lead to a value, by what the argument's name says it is.
_ROLES: Sequence[tuple[frozenset[str], tuple[str, ...]]] = (
    (_PERSON, ("under", "called", "named", "for", "with")),
    (stems("city location place country town region address"), ("in", "at", "near", "for", "to")),
    (stems("from origin source departure"), ("from",)),
    (stems("to destination recipient target arrival end"), ("to",)),
    (stems("title topic subject about"), ("about", "called", "titled", "on")),
    (_FREE, ("saying", "that says", "that", "for", "about", "to")),
)
_ANY_LEAD = ("called", "named", "to", "for", "in", "about", "with")


def _leads(argument: Wanted) -> Iterable[str]:
    fitting = next((leads for words, leads in _ROLES if words & set(argument.words)), None)
    return fitting or (_ANY_LEAD if argument.required else ("called", "named"))


def _array(argument: Wanted, reading: Reading) -> Any:
    item = Wanted(argument.name, as_mapping(argument.schema.get("items")), argument.required)
    if item.choices:
        chosen = [_chosen(Wanted(item.name, {"enum": [each]}, True), reading) for each in item.choices]
        return [each for each in chosen if each is not MISSING] or MISSING
    if item.type in ("integer", "number"):
        fitting = [item.fitting(number.value) for number in reading.free_numbers()]
        return [each for each in fitting if each is not MISSING] or MISSING
    text = next((value for value, _ in rest_after(rf"\b{_label(argument)}\s*[:=]?", reading.text)), None)
    return _listed(text) if item.type == "string" and text else MISSING


def _listed(text: str) -> list[str]:
    return [each for part in re.split(r",|\band\b", text) if (each := part.strip(" .!?"))]


def _object(argument: Wanted, reading: Reading) -> Any:
    parts = wanted(argument.schema, depth=levels(argument.schema))
    found = {each.name: _labelled(each, reading) for each in parts}
    kept = {name: value for name, value in found.items() if value is not MISSING}
    return kept if kept and all(each.name in kept for each in parts if each.required) else MISSING


#: What a recogniser may make of a number that is said alone.
_SOUNDS_LIKE = {"won": 1, "to": 2, "too": 2, "for": 4, "fore": 4, "ate": 8}
_LEADING = re.compile(
    r"^(?:(?:it's|it is|that's|that is|the|to|for|in|on|under|at|from|i'm|i am|this is|(?:my|the) name(?:'s| is)|"
    r"call me|please|yes|well|oh|um|uh)\b\W*)+",
    re.IGNORECASE,
)
#: Words that show that an answer is not a name.
_NO_NAME = frozenset("no not don't know what why how is are do does can could the a i you we it have want need".split())


def _bare(argument: Wanted, reading: Reading) -> Any:
    """The whole of a short answer."""
    match argument.type:
        case "boolean":
            found = re.match(
                r"\W*(?:(yes|yeah|yep|sure|please|true|on)|(?:no|nope|not|false|off))\b", reading.text, re.IGNORECASE
            )
            return bool(found[1]) if found else MISSING
        case "array" if as_mapping(argument.schema.get("items")).get("type", "string") == "string":
            return _listed(reading.text) or MISSING
        case "integer" | "number" if not argument.choices:
            heard = re.fullmatch(r"\W*(\w+)(?:\s+\w+)?\W*", reading.text)
            number = _SOUNDS_LIKE.get(heard[1].lower()) if heard else None
            return MISSING if number is None else argument.fitting(number)
        case "string" if not argument.choices and argument.schema.get("format") not in _FORMATS:
            value = _LEADING.sub("", reading.text.strip(" .!?,"))
            if _PERSON & set(argument.words):
                value = _as_name(value)
            return value if value and argument.allows_length(value) else MISSING
        case _:
            return MISSING


def _as_name(text: str) -> str:
    """Return the text as a person's name; empty if it is none."""
    words = text.lower().split()
    if len(words) > _LONGEST_NAME or _NO_NAME & set(words) or numbers(text):
        return ""
    return persons_name(text)


_Search = Callable[[Wanted, Reading], Any]
_LABELLED: Mapping[str, _Search] = {
    "string": _string_labelled,
    "integer": _number_beside,
    "number": _number_beside,
    "boolean": _flag,
    "array": _array,
    "object": _object,
}
_LOOSE: Mapping[str, _Search] = {"string": _string_loose, "integer": _number_anywhere, "number": _number_anywhere}
