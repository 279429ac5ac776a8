"""Values for a function's arguments, found in what the user said by the JSON Schema of its parameters.

Every argument is a `Wanted`, every text a `Reading` that remembers which of its words were used, so that "three
nights for two guests" gives each number to the argument that it stands beside. Schemas come from clients: what
cannot be understood of one counts as absent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from .conversation import as_mapping, as_sequence
from .numbers import DATE, Number, numbers
from .phrases import phrase_after, quoted, rest_after, significant, stem, stems, words_of

__all__ = ("MISSING", "Wanted", "answer_to", "extract", "wanted")

#: What a search returns that found nothing; None would be a value.
MISSING: Any = object()

#: Objects within objects are searched to this depth.
_DEEPEST = 3


@frozen
class Wanted:
    """An argument that a function takes."""

    name: str
    schema: Mapping[str, Any]
    required: bool

    @property
    def type(self) -> str:
        """The JSON type it must have; where the schema allows several, the first that is not null."""
        told = self.schema.get("type")
        types = [each for each in (told, *as_sequence(told)) if isinstance(each, str) and each != "null"]
        return types[0] if types else "string"

    @property
    def words(self) -> tuple[str, ...]:
        """The words of its name that tell it from others, as stems."""
        return significant(self.name) or tuple(map(stem, words_of(self.name)))

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values it is limited to; empty where there is no limit."""
        return (self.schema["const"],) if "const" in self.schema else tuple(as_sequence(self.schema.get("enum")))


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
        """Where the words stand that name the function."""
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


def wanted(parameters: object, depth: int = 0) -> tuple[Wanted, ...]:
    """The arguments that a JSON Schema of type object describes, the required ones first."""
    schema = as_mapping(parameters)
    required = [each for each in as_sequence(schema.get("required")) if isinstance(each, str)]
    properties = as_mapping(schema.get("properties") if depth < _DEEPEST else None)
    found = [Wanted(str(name), _branch(each), name in required) for name, each in properties.items()]
    return tuple(sorted(found, key=lambda each: not each.required))


def _branch(schema: object) -> Mapping[str, Any]:
    """The first alternative of a schema that is not null, or the schema itself."""
    branches = (*as_sequence(as_mapping(schema).get("anyOf")), *as_sequence(as_mapping(schema).get("oneOf")))
    return next((as_mapping(each) for each in branches if as_mapping(each).get("type") != "null"), as_mapping(schema))


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


def answer_to(argument: Wanted, text: str) -> Any:
    """The value of a text that answers the question for one argument, or `MISSING`."""
    reading = Reading(text)
    for search in (_labelled, _loose, _bare):
        if (value := search(argument, reading)) is not MISSING:
            return value
    return MISSING


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
        if beside and (value := _fitting(argument, number.value)) is not MISSING:
            reading.use(number.start, number.end)
            return value
    return MISSING


def _number_anywhere(argument: Wanted, reading: Reading) -> Any:
    if not argument.required:
        return _number_beside(argument, reading)
    for number in reading.free_numbers():
        if (value := _fitting(argument, number.value)) is not MISSING:
            reading.use(number.start, number.end)
            return value
    return MISSING


def _fitting(argument: Wanted, value: int | float) -> Any:
    """The number as the schema wants it; `MISSING` if it has a fraction or lies beyond a bound."""
    if argument.type == "integer" and int(value) != value:
        return MISSING
    lowest, highest = argument.schema.get("minimum"), argument.schema.get("maximum")
    below = isinstance(lowest, int | float) and value < lowest
    above = isinstance(highest, int | float) and value > highest
    return MISSING if below or above else int(value) if argument.type == "integer" else value


def _flag(argument: Wanted, reading: Reading) -> Any:
    told = re.search(rf"(?P<no>\b(?:no|not|without|don't)\s+(?:\w+\s+)?)?\b{_label(argument)}\b", reading.text, re.I)
    if told is None:
        return MISSING
    negated = told["no"] or re.match(r"\s*(?:is|=|:)?\s*(?:off|false|no)\b", reading.text[told.end() :], re.IGNORECASE)
    return not negated


def _string_labelled(argument: Wanted, reading: Reading) -> Any:
    if (value := _shaped(argument, reading)) is not MISSING:
        return value
    label = rf"\b{_label(argument)}(?:\s+(?:is|of|to)\b|\s*[:=])?"
    return _phrase(argument, reading, [label])


#: Formats of strings that have a look of their own. Where the schema names one, nothing else will do.
_FORMATS: Mapping[str, re.Pattern[str]] = {
    "date": DATE,
    "email": re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"),
    "uri": re.compile(r"https?://[^\s<>\"']+"),
}
_DAY = re.compile(
    r"\b(?:today|tonight|tomorrow|(?:next\s+)?(?:mon|tues|wednes|thurs|fri|satur|sun)day)\b", re.IGNORECASE
)


def _shaped(argument: Wanted, reading: Reading) -> Any:
    format = argument.schema.get("format")
    patterns = [_FORMATS[format]] if isinstance(format, str) and format in _FORMATS else []
    if not patterns and stems("date day when") & set(argument.words):
        patterns = [DATE, _DAY]
    if not patterns and stems("email mail") & set(argument.words):
        patterns = [_FORMATS["email"]]
    found = (match for pattern in patterns for match in pattern.finditer(reading.text))
    return next((_take(reading, match.span(), match[0]) for match in found if reading.is_free(*match.span())), MISSING)


def _string_loose(argument: Wanted, reading: Reading) -> Any:
    if argument.schema.get("format") in _FORMATS:
        return MISSING
    if argument.required and (found := quoted(reading.text)) and reading.is_free(*found[1]):
        return _take(reading, found[1], found[0])
    value = _phrase(argument, reading, _leads(argument))
    return _tail(reading) if value is MISSING and argument.required and _FREE & set(argument.words) else value


def _tail(reading: Reading) -> Any:
    """What follows the words that name the function: "web search: the tallest tree"."""
    end = max((end for _, end in reading.naming()), default=len(reading.text))
    found = re.compile(r"[\s:,]*(?P<value>[^\s.!?][^.!?]*)").match(reading.unused, end)
    return _take(reading, found.span(), found["value"].strip()) if found else MISSING


def _phrase(argument: Wanted, reading: Reading, leads: Iterable[str]) -> Any:
    search = rest_after if _FREE & set(argument.words) else phrase_after
    for lead in leads:
        for value, span in search(lead, reading.unused):
            if reading.is_free(*span) and _length_fits(argument, value):
                return _take(reading, span, value)
    return MISSING


def _take(reading: Reading, span: tuple[int, int], value: str) -> str:
    reading.use(*span)
    return value


def _length_fits(argument: Wanted, value: str) -> bool:
    shortest, longest = argument.schema.get("minLength"), argument.schema.get("maxLength")
    too_short = isinstance(shortest, int) and len(value) < shortest
    return not too_short and not (isinstance(longest, int) and len(value) > longest)


#: Arguments whose value is a sentence rather than a name.
_FREE = stems("body content message note query question reminder search task text")

#: The words that lead to a value, by what the argument's name says it is.
_ROLES: Sequence[tuple[frozenset[str], tuple[str, ...]]] = (
    (stems("name guest person customer contact caller attendee"), ("under", "called", "named", "for", "with")),
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
        fitting = [_fitting(item, number.value) for number in reading.free_numbers()]
        return [each for each in fitting if each is not MISSING] or MISSING
    text = next((value for value, _ in rest_after(rf"\b{_label(argument)}\s*[:=]?", reading.text)), None)
    return _listed(text) if item.type == "string" and text else MISSING


def _listed(text: str) -> list[str]:
    return [each for part in re.split(r",|\band\b", text) if (each := part.strip(" .!?"))]


def _object(argument: Wanted, reading: Reading) -> Any:
    parts = wanted(argument.schema, depth=_depth(argument.schema))
    found = {each.name: _labelled(each, reading) for each in parts}
    kept = {name: value for name, value in found.items() if value is not MISSING}
    return kept if kept and all(each.name in kept for each in parts if each.required) else MISSING


def _depth(schema: Mapping[str, Any], limit: int = _DEEPEST) -> int:
    """0 for an object of few levels, `_DEEPEST` for one that goes deeper than is searched."""
    inner = [as_mapping(each) for each in as_mapping(schema.get("properties")).values()]
    if not inner:
        return 0
    return _DEEPEST if limit == 0 else max(_depth(each, limit - 1) for each in inner)


def _bare(argument: Wanted, reading: Reading) -> Any:
    """The whole of a short answer."""
    match argument.type:
        case "boolean":
            told = re.match(
                r"\W*(?:(yes|yeah|yep|sure|please|true|on)|(?:no|nope|not|false|off))\b", reading.text, re.I
            )
            return bool(told[1]) if told else MISSING
        case "array" if as_mapping(argument.schema.get("items")).get("type", "string") == "string":
            return _listed(reading.text) or MISSING
        case "string" if not argument.choices and argument.schema.get("format") not in _FORMATS:
            value = re.sub(
                r"^(?:it's|it is|that's|the|to|for|in|on|under|at|from)\s+", "", reading.text.strip(" .!?,"), flags=re.I
            )
            return value if value and _length_fits(argument, value) else MISSING
        case _:
            return MISSING


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
