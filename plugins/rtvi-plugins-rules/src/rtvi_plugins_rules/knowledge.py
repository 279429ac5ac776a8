"""What a bot's author has taught the rules: topics, texts of functions, and what to say when nothing matches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Final, TypeAlias

from attrs import define, field, frozen

from .matching import Match, Matcher, best
from .phrases import introduces, title
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
    "Is a computer speaking to me?",
    "Am I talking to a machine or to a person?",
    "You sound like a robot.",
    "Is there a real person speaking?",
    "Am I speaking with a machine?",
    "Are you an AI?",
    "Are you artificial intelligence?",
    "Are you a language model like ChatGPT?",
    "Is this an automatic or automated recording?",
)


@frozen
class _Read:
    """The intents that a text may mean, and the one that it clearly means."""

    ranked: Sequence[Match]
    best: Match | None


@define(eq=False, slots=False)
class Knowledge:
    """Topics and texts of functions by name, fallbacks, and words that mean the same."""

    topics: Mapping[str, Topic] = field(factory=dict[str, Topic])
    functions: Mapping[str, FunctionTexts] = field(factory=dict[str, FunctionTexts])
    fallbacks: Sequence[str] = ()
    synonyms: Mapping[str, Sequence[str]] = field(factory=dict[str, Sequence[str]])

    def topic(self, text: str, least: float = 0.0) -> Topic | None:
        """Return the topic that a text is clearly about, if its score is at least so high, or None."""
        found = self._read(text).best
        return self.topics.get(found.intent.removeprefix("topic:")) if found and found.score >= least else None

    def function(self, text: str) -> str | None:
        """Return the name of the function that a text asks for by one of its examples, or None."""
        found = self._read(text).best
        return found.intent.removeprefix("function:") if found and found.intent.startswith("function:") else None

    def asks_nature(self, text: str) -> bool:
        """Return whether a text asks if the bot is a program."""
        found = self._read(text).best
        return found is not None and found.intent == NATURE

    def texts(self, function: str) -> FunctionTexts:
        """Return the texts of a function; empty for one without."""
        return self.functions.get(function) or FunctionTexts()

    def nearest(self, text: str) -> Sequence[str]:
        """Return the titles of up to two topics or functions that an unclear text may be about, the likeliest first."""
        read = self._read(text)
        return [self._titles[each.intent] for each in read.ranked[:2]] if read.best is None else []

    def titled(self, text: str) -> Sequence[str]:
        """Return the titles that a text of the bot contains, in their order."""
        return sorted((each for each in self._titles.values() if each in text), key=text.index)

    def _read(self, text: str) -> _Read:
        if text not in self._kept:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            # A topic may have "my name" in an example, but a user who only says their name asks nothing.
            ranked = () if introduces(text) else self._matcher.ranked(text)
            self._kept[text] = _Read(ranked, best(ranked))
        return self._kept[text]

    @cached_property
    def _kept(self) -> dict[str, _Read]:
        """The results for the last texts: each answer reads the conversation again."""
        return {}

    @cached_property
    def _titles(self) -> Mapping[str, str]:
        """What the topics and functions are called when the bot asks back."""
        topics = {f"topic:{name}": topic.get("title") or title(name) for name, topic in self.topics.items()}
        functions = {f"function:{name}": texts.get("title") or title(name) for name, texts in self.functions.items()}
        return {NATURE: "what I am", **topics, **functions}

    @cached_property
    def _matcher(self) -> Matcher:
        topics = {f"topic:{name}": topic["examples"] for name, topic in self.topics.items()}
        functions = {f"function:{name}": texts.get("examples", ()) for name, texts in self.functions.items()}
        # Whoever is asked "Is it about the pool or the price?" repeats a title.
        examples = {
            intent: [*texts, self._titles[intent]] if texts else () for intent, texts in {**topics, **functions}.items()
        }
        return _shared_matcher(_fixed({NATURE: _ASKS_NATURE, **examples}), _fixed(self.synonyms))


_Texts: TypeAlias = tuple[tuple[str, tuple[str, ...]], ...]


def _fixed(texts: Mapping[str, Iterable[str]]) -> _Texts:
    return tuple((name, tuple(each)) for name, each in texts.items())


@lru_cache(maxsize=8)
def _shared_matcher(examples: _Texts, synonyms: _Texts) -> Matcher:
    """Return a matcher. All sessions of a bot share it, because it takes 80 ms to make for a thousand examples."""
    return Matcher.of(dict(examples), dict(synonyms))


_MOST_KEPT = 200
