"""The texts that a bot's author gives to the rules: topics, texts of functions, and the templates in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NotRequired, cast

from typing_extensions import TypedDict

from .conversation import Conversation, as_mapping, as_sequence
from .numbers import evaluate, spell_number

__all__ = ("FunctionTexts", "Topic", "WellFormed", "fill", "fresh")

#: Numbers up to this one are written as words.
_LAST_SPELLED = 12


class Topic(TypedDict):
    """A topic that users ask about: examples of what they say, and answers, of which the bot takes turns.

    `title` names the topic in "Is it about …?"; the default is its name.
    """

    examples: Sequence[str]
    answers: Sequence[str]
    title: NotRequired[str]


class FunctionTexts(TypedDict):
    """How a conversation about a function goes.

    `examples` are sentences that ask for the function. `title` names it in "Is it about …?"; the default is its
    name. `questions` has questions for missing arguments, by argument.
    The others are templates. `confirmation` is asked before the call; without it, nothing is asked. `result` tells the
    result, and `declined` is said if the user does not want the call.
    """

    examples: NotRequired[Sequence[str]]
    questions: NotRequired[Mapping[str, Sequence[str]]]
    confirmation: NotRequired[str]
    result: NotRequired[str]
    declined: NotRequired[str]
    title: NotRequired[str]


def fresh(texts: Sequence[str], conversation: Conversation) -> str:
    """Return the text that the bot has not said for the longest time."""
    said = [text for role, text in conversation.turns if role == "assistant"]
    last = {text: max((at for at, each in enumerate(said) if text in each), default=-1) for text in texts}
    chosen = min(texts, key=lambda text: last[text])
    return f"As I said: {chosen}" if said and last[chosen] == len(said) - 1 else chosen


# ---- templates -----------------------------------------------------------------------------------------------------

_OPTIONAL = re.compile(r"\[([^\[\]]*)\]")
_PLACE = re.compile(r"\{([^{}]*)\}")
_NAME = r"[^\W\d]\w*"
#: `{name}`, `{nights:night}` for a number with its noun, and `{nights * 80}` for a sum.
_FIELD = re.compile(rf"(?P<name>{_NAME})(?::(?P<noun>[^{{}}:]+))?")
_SUM = re.compile(rf"(?:{_NAME}|\d+(?:\.\d+)?)(?:\s*[-+*/]\s*(?:{_NAME}|\d+(?:\.\d+)?))+")


def fill(template: str, values: Mapping[str, Any]) -> str | None:
    """Return a template with its values; None if one is missing. Leave out square brackets that lack a value."""
    text = _OPTIONAL.sub(lambda part: _filled(part[1], values) or "", template)
    filled = _filled(text, values)
    return f"{filled[0].upper()}{filled[1:]}" if filled else None


def _filled(template: str, values: Mapping[str, Any]) -> str | None:
    parts = {match[1]: _value(match[1], values) for match in _PLACE.finditer(template)}
    return None if None in parts.values() else _PLACE.sub(lambda match: str(parts[match[1]]), template)


def _value(written: str, values: Mapping[str, Any]) -> str | None:
    if (match := _FIELD.fullmatch(written.strip())) is not None:
        value = values.get(match["name"])
        return None if value is None else _counted(value, match["noun"]) if match["noun"] else _shown(value)
    try:
        return evaluate(re.sub(_NAME, lambda name: _shown(values[name[0]]), written))
    except (KeyError, ZeroDivisionError):
        return None


def _shown(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(_shown, as_sequence(cast(object, value))))
        case _:
            return str(value)


def _counted(value: object, noun: str) -> str:
    if not isinstance(value, int) or isinstance(value, bool):
        return f"{_shown(value)} {noun}s"
    number = spell_number(value) if 0 <= value <= _LAST_SPELLED else str(value)
    return f"{number} {noun}" if value == 1 else f"{number} {noun}s"


class WellFormed:
    """A validator of topics and of texts of functions: nothing is empty, and templates can be read."""

    def __call__(self, instance: object, attribute: object, value: Mapping[str, Mapping[str, Any]]) -> None:
        for name, texts in value.items():
            for field, given in texts.items():
                self._check(f"{name}.{field}", given, template=field in _TEMPLATES)

    def _check(self, place: str, given: Any, *, template: bool) -> None:
        found = list(_texts(given))
        if not found and not isinstance(given, Mapping):
            raise ValueError(f"has nothing in {place}; write at least one sentence")
        for text in found:
            if (problem := _problem(text, template=template)) is not None:
                raise ValueError(f"has {text!r} in {place}, {problem}")


#: The texts of a function that are templates.
_TEMPLATES = ("confirmation", "result", "declined")


def _texts(given: Any) -> Iterable[str]:
    if isinstance(given, str):
        yield given
    elif isinstance(given, Mapping):
        for each in as_mapping(cast(object, given)).values():
            yield from _texts(each)
    else:
        yield from given


def _problem(text: str, *, template: bool) -> str | None:
    if not text.strip():
        return "which is empty"
    if not template:
        return None
    for match in _PLACE.finditer(text):
        if not _FIELD.fullmatch(match[1].strip()) and not _SUM.fullmatch(match[1].strip()):
            return f"whose {match[0]} is not a value; write {{name}}, {{nights:night}} or {{nights * 80}}"
    if re.search(r"[{}\[\]]", _PLACE.sub("", _OPTIONAL.sub(r"\1", text))):
        return "in which a bracket is not closed"
    return None
