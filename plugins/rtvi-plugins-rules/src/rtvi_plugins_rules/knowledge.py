"""What a bot's author has taught the rules: topics, texts of functions, and what to say when nothing matches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

from attrs import define, field

from .matching import Match, Matcher
from .wording import FunctionTexts, Topic

__all__ = ("NATURE", "Knowledge")

#: The intent of the question whether the bot is a program, and its examples. All bots answer it.
NATURE: Final = "$nature"
_ASKS_NATURE = (
    "Are you a robot?",
    "Are you a human?",
    "Are you a real person?",
    "You are not human.",
    "Is this a machine or a computer?",
    "Am I talking to a bot?",
    "Am I speaking with a machine?",
    "Are you an AI?",
    "Are you artificial intelligence?",
    "Are you a language model like ChatGPT?",
    "Is this an automatic or automated recording?",
)


@define(eq=False, slots=False)
class Knowledge:
    """Topics and texts of functions by name, and fallbacks."""

    topics: Mapping[str, Topic] = field(factory=dict[str, Topic])
    functions: Mapping[str, FunctionTexts] = field(factory=dict[str, FunctionTexts])
    fallbacks: Sequence[str] = ()

    def topic(self, text: str, least: float = 0.0) -> Topic | None:
        """Return the topic that a text is about, if its score is at least so high, or None."""
        found = self._best(text)
        return self.topics.get(found.intent.removeprefix("topic:")) if found and found.score >= least else None

    def function(self, text: str) -> str | None:
        """Return the name of the function that a text asks for by one of its examples, or None."""
        found = self._best(text)
        return found.intent.removeprefix("function:") if found and found.intent.startswith("function:") else None

    def asks_nature(self, text: str) -> bool:
        """Return whether a text asks if the bot is a program."""
        found = self._best(text)
        return found is not None and found.intent == NATURE

    def texts(self, function: str) -> FunctionTexts:
        """Return the texts of a function; empty for one without."""
        return self.functions.get(function) or FunctionTexts()

    def _best(self, text: str) -> Match | None:
        if text not in self._found:
            if len(self._found) >= _MOST_KEPT:
                self._found.clear()
            self._found[text] = self._matcher.best(text)
        return self._found[text]

    @cached_property
    def _found(self) -> dict[str, Match | None]:
        """The results for the last texts: each answer reads the conversation again."""
        return {}

    @cached_property
    def _matcher(self) -> Matcher:
        topics = {f"topic:{name}": topic["examples"] for name, topic in self.topics.items()}
        functions = {f"function:{name}": texts.get("examples", ()) for name, texts in self.functions.items()}
        return Matcher.of({NATURE: _ASKS_NATURE, **topics, **functions})


_MOST_KEPT = 200
