"""The results of functions, as sentences."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import cast

from .conversation import Result, as_mapping, as_sequence
from .knowledge import Knowledge
from .phrases import title, words_of
from .wording import fill

__all__ = ("describe_results", "in_words")


def describe_results(results: Sequence[Result], knowledge: Knowledge) -> str:
    """Return the results of functions as sentences."""
    return " ".join(_sentence(each, knowledge) for each in results)


def _sentence(result: Result, knowledge: Knowledge) -> str:
    done = title(result.name)
    if result.arguments:
        done = f"{done}, with {in_words(dict(result.arguments))}"
    template = knowledge.texts(result.name).get("result")
    if error := as_mapping(result.value).get("error"):
        reason = in_words(error).rstrip(".")
        failed = "I am sorry, that did not work." if template else f"That failed: {done}. The reason is:"
        return f"{failed} {reason}."
    if template and (told := fill(template, {**result.arguments, **as_mapping(result.value)})):
        return told
    if result.value in (None, True, "", {}, []):
        return f"Done: {done}."
    return f"Done: {done}. The answer is: {in_words(result.value).rstrip('.')}."


def in_words(value: object, depth: int = 0) -> str:
    """Return a JSON value in words."""
    if depth > 3:
        return "more"
    match value:
        case None | bool():
            return {None: "nothing", True: "yes", False: "no"}[value]
        case str():
            return value
        case dict():
            return _and(
                f"{' '.join(words_of(str(key)))} {in_words(each, depth + 1)}"
                for key, each in as_mapping(cast(object, value)).items()
            )
        case list():
            return _and(in_words(each, depth + 1) for each in as_sequence(cast(object, value)))
        case _:
            return json.dumps(value, default=str)


def _and(parts: Iterable[str]) -> str:
    *all_but_last, last = [*parts] or ["nothing"]
    return f"{', '.join(all_but_last)} and {last}" if all_but_last else last
