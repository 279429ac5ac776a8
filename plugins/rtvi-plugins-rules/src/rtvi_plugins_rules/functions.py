"""The functions that an LLM may call: how users name them, and how to ask for their arguments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from attrs import frozen

from .arguments import Wanted, wanted
from .conversation import as_mapping
from .extraction import states_number
from .phrases import alike, content_stems, title
from .results import in_words

__all__ = ("Function", "is_named", "known", "most_alike", "question_for")


@frozen
class Function:
    """A function with its arguments, the required ones first."""

    name: str
    description: str
    arguments: tuple[Wanted, ...]

    @property
    def title(self) -> str:
        return title(self.name)

    @property
    def words(self) -> tuple[str, ...]:
        """The stems that name it."""
        return content_stems(self.name)


def known(functions: Iterable[object]) -> Iterable[Function]:
    """Return the functions of a request. Those without a name are left out."""
    for function in functions:
        # Some clients wrap each function once more, as OpenAI's API does.
        declared = as_mapping(as_mapping(function).get("function")) or as_mapping(function)
        if isinstance(name := declared.get("name"), str) and name:
            yield Function(name, str(declared.get("description") or ""), wanted(declared.get("parameters")))


def most_alike(functions: Sequence[Function], text: str) -> Function | None:
    """Return the function whose name and description have most words of a text; None if it asks for none."""
    best = max(functions, key=lambda function: _likeness(function, text), default=None)
    return best if best is not None and _likeness(best, text) > 0 else None


def _likeness(function: Function, text: str) -> float:
    """Return how well a text matches a function; 0 if it does not."""
    if re.search(rf"(?<!\w){re.escape(function.name)}(?!\w)", text):
        return 100.0
    spoken, name = set(content_stems(text)), set(function.words)
    described = {*content_stems(function.description), *(word for each in function.arguments for word in each.words)}
    hits, more = _shared(name, spoken), _shared(described - name, spoken)
    meant = hits and (hits == len(name) or hits + more >= 2)
    if meant:
        return hits + hits / len(name) + 0.1 * more
    # A recogniser that heard "but the room for two nights", or "put her in for two nights", has heard what counts.
    return 0.1 if any(each.required and states_number(each, text) for each in function.arguments) else 0.0


def is_named(function: Function, text: str) -> bool:
    """Return whether a text has all words of a function's name."""
    return bool(function.words) and set(function.words) <= set(content_stems(text))


def _shared(words: Iterable[str], spoken: Iterable[str]) -> int:
    return sum(any(alike(word, each) for each in spoken) for word in words)


def question_for(function: Function, argument: Wanted) -> str:
    """Return the question for an argument, where the bot's author has written none."""
    return f"Before I {function.title}, tell me: {_asking(argument)}?"


def _asking(argument: Wanted) -> str:
    label = title(argument.name)
    if argument.choices:
        return f"which {label}, {_either([in_words(each) for each in argument.choices[:8]])}"
    match argument.type:
        case "integer" | "number" if label.endswith("s"):
            return f"how many {label}"
        case "boolean":
            return f"{label}, yes or no"
        case _:
            return f"what is the {label}"


def _either(names: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else ""
