"""Which of several intents a text means, by example sentences.

A text need not be one of the examples. It is compared word by word: words that few intents have weigh more, and a word
that is spelled or heard slightly wrong counts too. No order of words is needed, because recognisers lose words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import pairwise
from math import log, sqrt

from attrs import frozen

from .phrases import stem

__all__ = ("Match", "Matcher")

#: Words that say little of what a sentence is about.
_WEAK = frozenset(
    """a about all also am an and any anything are as at be been but by can could did do does eight ever fine
    five for four from get give go good got great had has have hello hi how i id if im in into is it its just
    know let like look love may me might must my need nice nine of off ok okay on one only or our out please
    really seven should six so some somebody something sorry still tell ten than thank thanks that the their
    them then there they this three to too two up us very want was we well were what when where which who will
    wish with without wonder would yes you your""".split()
)
#: How much a weak word weighs beside another.
_WEAK_WEIGHT = 0.12
#: How much a word weighs that no intent has.
_UNKNOWN_WEIGHT = 0.35
#: How similar the spelling of two words must be, from 0 to 1.
_CLOSE = 0.8
#: The score from which a text means an intent, and the share of its words that must speak for it.
_LEAST_SCORE, _LEAST_SHARE = 0.5, 0.22
#: The score of an example itself.
_EXACT_SCORE = 2.0
#: Later words of a text are ignored, so that no text can make matching slow.
_MOST_WORDS = 60


@frozen
class Match:
    """The intent that a text means, and how well it fits: 0.5 is barely, 2 is exactly."""

    intent: str
    score: float


@frozen(eq=False)
class Matcher:
    """Compares texts with the example sentences of intents."""

    #: The words of each example, with its intent.
    _examples: Sequence[tuple[str, frozenset[str]]]
    #: The intent of each example, by all its words in a row.
    _exact: Mapping[tuple[str, ...], str]
    #: How much a word speaks for an intent.
    _weights: Mapping[str, Mapping[str, float]]
    #: The most that a word weighs in any intent.
    _known: Mapping[str, float]
    _unknown: float

    @classmethod
    def of(cls, intents: Mapping[str, Iterable[str]]) -> Matcher:
        """Return a matcher of these intents with their examples."""
        examples = [(intent, frozenset(_words(text))) for intent, texts in intents.items() for text in texts]
        exact = {tuple(_words(text)): intent for intent, texts in intents.items() for text in texts}
        counts: dict[str, Counter[str]] = {intent: Counter() for intent in intents}
        for intent, words in examples:
            counts[intent].update(words)
        spread = Counter(word for words in counts.values() for word in words)
        weights = {
            intent: {
                word: _weight(word) * log(1 + len(intents) / spread[word]) * _typical(count, words.total())
                for word, count in words.items()
            }
            for intent, words in counts.items()
        }
        known: dict[str, float] = {}
        for weighed in weights.values():
            for word, weight in weighed.items():
                known[word] = max(weight, known.get(word, 0.0))
        return cls(examples, exact, weights, known, _UNKNOWN_WEIGHT * log(1 + len(intents)))

    def best(self, text: str) -> Match | None:
        """Return the intent that the text means; None if it means none. An example means its own intent."""
        if intent := self._exact.get(tuple(_words(text))):
            return Match(intent, _EXACT_SCORE)
        found = self._similar(text)
        total = sum(max((self._known[each] for each in likes), default=self._unknown) for likes in found)
        if not total:
            return None
        scores = {intent: self._score(intent, found, total) for intent in self._weights}
        intent = max(scores, key=lambda each: scores[each], default="")
        return Match(intent, scores[intent]) if intent and scores[intent] >= _LEAST_SCORE else None

    def _similar(self, text: str) -> list[Mapping[str, float]]:
        """Return for each word of a text the known words that it may be, with their similarity."""
        words = list(_words(text, self._known))[:_MOST_WORDS]
        return [self._likes(word) for word in dict.fromkeys(words) if word not in _WEAK or word in self._known]

    def _likes(self, word: str) -> Mapping[str, float]:
        if word in self._known:
            return {word: 1.0, **({} if word in _WEAK else _related(word, tuple(self._known)))}
        return {} if word in _WEAK else _related(word, tuple(self._known)) or {}

    def _score(self, intent: str, found: Sequence[Mapping[str, float]], total: float) -> float:
        weights = self._weights[intent]
        matched = sum(max((likes[word] * weights.get(word, 0.0) for word in likes), default=0.0) for likes in found)
        if matched / total < _LEAST_SHARE or matched < self._unknown:
            return 0.0
        heard = {word: likeness for likes in found for word, likeness in likes.items()}
        examples = (words for each, words in self._examples if each == intent)
        closest = max((self._likeness(words, heard, total) for words in examples), default=0.0)
        return matched / total + closest

    def _likeness(self, example: frozenset[str], heard: Mapping[str, float], total: float) -> float:
        shared = sum(self._known[word] * heard.get(word, 0.0) for word in example)
        return shared / sqrt(total * sum(self._known[word] for word in example)) if example else 0.0


def _weight(word: str) -> float:
    return _WEAK_WEIGHT if word in _WEAK else 1.0


def _typical(count: int, total: int) -> float:
    """Return how typical a word is of an intent: more, if several of its examples have it."""
    return 1 + log(count) / 3


def _words(text: str, known: Mapping[str, float] | None = None) -> Iterator[str]:
    """Yield the stems of a text. `check-in` and `check in` yield the same word."""
    words = re.findall(r"[^\W_]+(?:-[^\W_]+)*", re.sub("'s?", "", text.lower()))
    parts = [part for word in words for part in word.split("-")]
    if known is None:
        yield from (stem(word.replace("-", "")) for word in words if "-" in word)
        parts = [part for part in parts if part in words or len(part) > 3]
    yield from (word if word in _WEAK else stem(word) for word in parts)
    if known is not None:
        pairs = (stem(one + other) for one, other in pairwise(parts))
        yield from (pair for pair in pairs if pair in known)


@lru_cache(maxsize=4096)
def _related(word: str, known: Sequence[str]) -> Mapping[str, float]:
    """Return the known words that this one may have been, with their similarity."""
    found: dict[str, float] = {}
    for other in known:
        if other != word and other not in _WEAK and (likeness := _likeness(word, other)):
            found[other] = likeness
    return found


def _likeness(one: str, other: str) -> float:
    """Return how likely two stems are the same word, from 0 to 1."""
    short, long = sorted((one, other), key=len)
    if len(short) < 3 or len(long) - len(short) > 4:
        return 0.0
    if len(short) >= 4 and long.startswith(short):
        return 0.9
    if len(sound := _sound(one)) >= 4 and sound == _sound(other):
        return 0.75
    compared = SequenceMatcher(None, one, other, autojunk=False)
    if len(short) < 4 or compared.real_quick_ratio() < _CLOSE or compared.quick_ratio() < _CLOSE:
        return 0.0
    ratio = compared.ratio()
    return ratio * 0.9 if ratio >= _CLOSE else 0.0


_SOUNDS = (
    (r"^(?:kn|gn|pn)", "n"),
    (r"^wr", "r"),
    (r"ph", "f"),
    (r"c(?=[eiy])|z|sh|ch|tion", "s"),
    (r"ck|c|q|x", "k"),
    (r"gh|(?<=[aeiou])[hw]", ""),
    (r"d", "t"),
    (r"b", "p"),
    (r"v", "f"),
    (r"[aeiouy]+", "a"),
    (r"(.)\1+", r"\1"),
)


@lru_cache(maxsize=4096)
def _sound(word: str) -> str:
    """Return roughly how a word sounds, with one letter for all vowels."""
    for pattern, letters in _SOUNDS:
        word = re.sub(pattern, letters, word)
    return word
