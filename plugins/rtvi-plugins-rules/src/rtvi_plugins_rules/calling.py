"""Function calls: which function the user means, which arguments are missing, and what the result is.

Nothing is kept between two answers. The conversation shows whether the user answers a question for an argument: the
bot's last words are that question, and questions depend on the function's declaration alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from attrs import frozen

from .arguments import MISSING, Wanted, wanted
from .conversation import Conversation, Result, as_mapping, as_sequence
from .extraction import answer_to, extract, states_number
from .facts import Facts
from .phrases import alike, significant, words_of

__all__ = ("Call", "describe_results", "reply")

_REFUSED = re.compile(r"\b(?:don't|do not|never|not to)\b", re.IGNORECASE)
_GIVEN_UP = re.compile(r"\b(?:never ?mind|forget it|cancel|stop|no,? thank(?:s| you)|good ?bye)\b", re.IGNORECASE)
#: A yes to what was offered, with a few words of detail; a long sentence asks for something of its own.
_ACCEPTED = re.compile(
    r"\W*(?:(?:yes|yeah|yep|sure|okay|ok|of course|certainly)\b(?:\W+[\w']+){0,5}"
    r"|please|(?:i would|i'd)(?: like| love)?(?: to| that)?)\W*",
    re.IGNORECASE,
)
#: What is said to the bot itself, whatever it has just asked for.
_ASIDE = re.compile(
    r"\bwhat can (?:you|i) (?:do|say)\b|^\W*(?:help|pardon|hello)\W*$|\bwhat did you (?:just )?say\b", re.IGNORECASE
)


@frozen
class Call:
    """A function to be called, with the arguments that were found."""

    name: str
    arguments: Mapping[str, Any]


@frozen
class _Function:
    name: str
    description: str
    arguments: tuple[Wanted, ...]

    @property
    def title(self) -> str:
        return " ".join(words_of(self.name)) or self.name

    @property
    def words(self) -> tuple[str, ...]:
        """The stems that name it."""
        return significant(self.name)


def reply(conversation: Conversation, functions: Sequence[object], facts: Facts) -> Call | str | None:
    """A call, a question for what is missing, or None where the user means none of the functions."""
    known = list(_known(functions))
    if _ASIDE.search(conversation.text):
        return None
    return (
        _complete(conversation, known, facts)
        or _accept(conversation, known, facts)
        or _begin(conversation, known, facts)
    )


def _known(functions: Iterable[object]) -> Iterable[_Function]:
    for function in functions:
        # Some clients wrap each function once more, as OpenAI's API does.
        declared = as_mapping(as_mapping(function).get("function")) or as_mapping(function)
        if isinstance(name := declared.get("name"), str) and name:
            yield _Function(name, str(declared.get("description") or ""), wanted(declared.get("parameters")))


# ---- which function ------------------------------------------------------------------------------------------------


def _accept(conversation: Conversation, functions: Sequence[_Function], facts: Facts) -> Call | str | None:
    """The call that the bot has just offered, where the user says yes to it."""
    role, offered = conversation.turns[-2] if len(conversation.turns) > 1 else ("", "")
    text = conversation.text
    if role != "assistant" or not offered.endswith("?") or not _ACCEPTED.fullmatch(text):
        return None
    if _REFUSED.search(text) or _GIVEN_UP.search(text):
        return None
    question = re.split(r"[.!]\s+", offered)[-1]
    best = _meant(functions, text) or _meant(functions, question)
    return None if best is None else _call(best, extract(best.arguments, text, about=best.words), facts)


def _begin(conversation: Conversation, functions: Sequence[_Function], facts: Facts) -> Call | str | None:
    text = conversation.text
    best = _meant(functions, text)
    if best is None:
        return None
    if _REFUSED.search(text):
        return f"Very well, I will not do that: {best.title}."
    return _call(best, extract(best.arguments, text, about=best.words), facts)


def _meant(functions: Sequence[_Function], text: str) -> _Function | None:
    best = max(functions, key=lambda function: _likeness(function, text), default=None)
    return best if best is not None and _likeness(best, text) > 0 else None


def _likeness(function: _Function, text: str) -> float:
    """Return how well a text matches a function; 0 if it does not."""
    if re.search(rf"(?<!\w){re.escape(function.name)}(?!\w)", text):
        return 100.0
    spoken, name = set(significant(text)), set(function.words)
    described = {*significant(function.description), *(word for each in function.arguments for word in each.words)}
    hits, more = _shared(name, spoken), _shared(described - name, spoken)
    meant = hits and (hits == len(name) or hits + more >= 2)
    if meant:
        return hits + hits / len(name) + 0.1 * more
    # A recogniser that heard "but the room for two nights", or "put her in for two nights", has heard what counts.
    return 0.1 if any(each.required and states_number(each, text) for each in function.arguments) else 0.0


def _is_named(function: _Function, text: str) -> bool:
    return bool(function.words) and set(function.words) <= set(significant(text))


def _shared(words: Iterable[str], spoken: Iterable[str]) -> int:
    return sum(any(alike(word, each) for each in spoken) for word in words)


# ---- what is missing -----------------------------------------------------------------------------------------------


def _call(function: _Function, found: Mapping[str, Any], facts: Facts) -> Call | str:
    values = dict(found)
    for argument in function.arguments:
        stated = facts.value(" ".join(words_of(argument.name)))
        if argument.required and argument.name not in values and argument.type == "string" and stated is not None:
            values[argument.name] = stated if not argument.choices or stated in argument.choices else MISSING
    missing = [each for each in function.arguments if each.required and values.get(each.name, MISSING) is MISSING]
    return _question(function, missing[0]) if missing else Call(function.name, values)


def _question(function: _Function, argument: Wanted) -> str:
    return f"Before I {function.title}, tell me: {_asking(argument)}?"


def _asking(argument: Wanted) -> str:
    label = " ".join(words_of(argument.name)) or argument.name
    if argument.choices:
        return f"which {label}, {_either([_shown(each) for each in argument.choices[:8]])}"
    match argument.type:
        case "integer" | "number" if label.endswith("s"):
            return f"how many {label}"
        case "boolean":
            return f"{label}, yes or no"
        case _:
            return f"what is the {label}"


def _either(names: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else ""


def _complete(conversation: Conversation, functions: Sequence[_Function], facts: Facts) -> Call | str | None:
    """The call that the user's last words complete, if they answer a question for an argument."""
    for function in functions:
        questions = {_question(function, argument): argument for argument in function.arguments}
        if answers := _answers(conversation, questions):
            if any(_is_named(other, conversation.text) for other in functions if other != function):
                return None
            if _GIVEN_UP.search(conversation.text):
                return f"Very well, I will not do that: {function.title}."
            return _call(function, _gathered(function, answers), facts)
    return None


def _answers(conversation: Conversation, questions: Mapping[str, Wanted]) -> list[tuple[Wanted | None, str]]:
    """Return the user's answers about one call, oldest first, each with the argument of the question.

    Empty unless the last of it answers one of the questions.
    """
    answers: list[tuple[Wanted | None, str]] = []
    texts = list(conversation.turns) if conversation.text else []
    for index in range(len(texts) - 1, -1, -1):
        asked = questions.get(texts[index - 1][1]) if index and texts[index - 1][0] == "assistant" else None
        if texts[index][0] == "user":
            answers.insert(0, (asked, texts[index][1]))
            if asked is None:
                break
    return answers if answers and answers[-1][0] is not None else []


def _gathered(function: _Function, answers: Sequence[tuple[Wanted | None, str]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for asked, text in answers:
        values |= extract(function.arguments, text, about=function.words, loose=asked is None)
        if asked is not None and (value := answer_to(asked, text)) is not MISSING:
            values[asked.name] = value
    return values


# ---- results ----------------------------------------------------------------------------------------------------


def describe_results(results: Sequence[Result]) -> str:
    """Return the results of functions as sentences."""
    return " ".join(map(_sentence, results))


def _sentence(result: Result) -> str:
    title = " ".join(words_of(result.name)) or result.name
    done = f"{title}, with {_shown(dict(result.arguments))}" if result.arguments else title
    if error := as_mapping(result.value).get("error"):
        return f"That failed: {done}. The reason is: {_shown(error).rstrip('.')}."
    if result.value in (None, True, "", {}, []):
        return f"Done: {done}."
    return f"Done: {done}. The answer is: {_shown(result.value).rstrip('.')}."


def _shown(value: object, depth: int = 0) -> str:
    """A JSON value in words."""
    if depth > 3:
        return "more"
    match value:
        case None | bool():
            return {None: "nothing", True: "yes", False: "no"}[value]
        case str():
            return value
        case dict():
            return _and(
                f"{' '.join(words_of(str(key)))} {_shown(each, depth + 1)}"
                for key, each in as_mapping(cast(object, value)).items()
            )
        case list():
            return _and(_shown(each, depth + 1) for each in as_sequence(cast(object, value)))
        case _:
            return json.dumps(value, default=str)


def _and(parts: Iterable[str]) -> str:
    *all_but_last, last = [*parts] or ["nothing"]
    return f"{', '.join(all_but_last)} and {last}" if all_but_last else last
