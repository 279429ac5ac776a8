"""Which of several intents a text means, by example sentences.

A text need not be one of the examples. It is compared by its words and by its pairs of neighbours: those that few
intents have weigh more, and a word that is spelled or heard slightly wrong counts too. No order of words is needed,
because recognisers lose words. If two intents fit nearly as well, the text means neither: the bot asks back.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from functools import cached_property, lru_cache
from itertools import pairwise
from math import log, sqrt

from attrs import frozen

from .phrases import stem
from .vocabulary import COMMON, WEAK

__all__ = ("Match", "Matcher", "Synonyms", "best")

#: How much a weak and a common word weigh beside another, and a pair of neighbours beside single words.
_WEAK_WEIGHT, _COMMON_WEIGHT, _PAIR_WEIGHT = 0.2, 0.7, 1.0
#: How much a word weighs that no intent has.
_UNKNOWN_WEIGHT = 0.6
#: How similar the spelling of two words must be, from 0 to 1.
_CLOSE = 0.8
#: How similar the forms of a word are, such as cancel and cancellation. Only these relate a word that is known itself.
_FORM = 0.9
#: The score from which a text may mean an intent, and the share of its words that must speak for it.
_LEAST_SCORE, _LEAST_SHARE = 0.5, 0.22
#: The score of an example itself.
_EXACT_SCORE = 2.0
#: The score from which it does, if no other intent comes so near.
_SURE_SCORE, _SURE_MARGIN = 0.6, 0.15
#: Later features of a text are ignored, so that no text can make matching slow.
_MOST_FEATURES = 120


@frozen
class Match:
    """An intent that a text may mean, and how well it fits: 0.5 is barely, 2 is exactly."""

    intent: str
    score: float


@frozen(eq=False, slots=False)
class Matcher:
    """Compares texts with the example sentences of intents."""

    #: The features of each example, with its intent. A feature is a word, or two neighbours with a space between them.
    _examples: Sequence[tuple[str, frozenset[str]]]
    #: The intent of each example, by all its features in a row.
    _exact: Mapping[tuple[str, ...], str]
    #: How much a feature speaks for an intent.
    _weights: Mapping[str, Mapping[str, float]]
    #: The most that a feature weighs in any intent.
    _known: Mapping[str, float]
    _unknown: float
    _synonyms: Synonyms

    @classmethod
    def of(cls, intents: Mapping[str, Iterable[str]], synonyms: Mapping[str, Iterable[str]] | None = None) -> Matcher:
        """Return a matcher of these intents with their examples.

        `synonyms` maps a word of the examples to words and phrases that mean the same.
        """
        same = Synonyms.of(synonyms or {})
        examples = [(intent, frozenset(_features(same(text)))) for intent, texts in intents.items() for text in texts]
        exact = {tuple(_features(same(text))): intent for intent, texts in intents.items() for text in texts}
        counts: dict[str, Counter[str]] = {intent: Counter() for intent in intents}
        for intent, features in examples:
            counts[intent].update(features)
        spread = Counter(feature for features in counts.values() for feature in features)
        weights = {
            intent: {
                feature: _weight(feature) * log(1 + len(intents) / spread[feature]) * _typical(count)
                for feature, count in features.items()
            }
            for intent, features in counts.items()
        }
        known: dict[str, float] = {}
        for weighed in weights.values():
            for feature, weight in weighed.items():
                known[feature] = max(weight, known.get(feature, 0.0))
        return cls(examples, exact, weights, known, _UNKNOWN_WEIGHT * log(1 + len(intents)), same)

    def ranked(self, text: str) -> Sequence[Match]:
        """Return the intents that the text may mean, the likeliest first. An example means only its own intent."""
        text = self._synonyms(text)
        if intent := self._exact.get(tuple(_features(text))):
            return [Match(intent, _EXACT_SCORE)]
        found = self._similar(text)
        total = sum(each.weight for each in found)
        if not total:
            return []
        heard = {each: likeness for feature in found for each, likeness in feature.likes.items()}
        scores = ((intent, self._score(intent, found, heard, total)) for intent in self._weights)
        matches = [Match(intent, score) for intent, score in scores if score >= _LEAST_SCORE]
        return sorted(matches, key=lambda each: -each.score)

    def _similar(self, text: str) -> list[_Found]:
        """Return the features of a text, each with the known ones that it may be."""
        features = list(dict.fromkeys(_features(text, self._known)))[:_MOST_FEATURES]
        return [self._found(each) for each in features if each in self._known or not (" " in each or each in WEAK)]

    def _found(self, feature: str) -> _Found:
        exact = {feature: 1.0} if feature in self._known else {}
        fixed = " " in feature or feature in WEAK
        likes = exact if fixed else {**_related(feature, self._words, _FORM if exact else 0.0), **exact}
        unknown = self._unknown * _weight(feature)
        return _Found(likes, max((self._known[each] * likeness for each, likeness in likes.items()), default=unknown))

    @cached_property
    def _words(self) -> Sequence[str]:
        return tuple(each for each in self._known if " " not in each and each not in WEAK)

    def _score(self, intent: str, found: Sequence[_Found], heard: Mapping[str, float], total: float) -> float:
        weights = self._weights[intent]
        matched = sum(
            max((likeness * weights.get(each, 0.0) for each, likeness in feature.likes.items()), default=0.0)
            for feature in found
        )
        if matched / total < _LEAST_SHARE or matched < self._unknown:
            return 0.0
        examples = (features for each, features in self._examples if each == intent)
        closest = max((self._closeness(features, heard, total) for features in examples), default=0.0)
        return matched / total + closest

    def _closeness(self, example: frozenset[str], heard: Mapping[str, float], total: float) -> float:
        shared = sum(self._known[each] * heard.get(each, 0.0) for each in example)
        return shared / sqrt(total * sum(self._known[each] for each in example)) if example else 0.0


def best(ranked: Sequence[Match]) -> Match | None:
    """Return the intent that a text means; None if it means none, or may as well mean another."""
    match ranked:
        case [first] if first.score >= _SURE_SCORE:
            return first
        case [first, second, *_] if first.score >= _SURE_SCORE and first.score - second.score >= _SURE_MARGIN:
            return first
        case _:
            return None


@frozen
class _Found:
    """A feature of a text: the known features that it may be, with their similarity, and how much it weighs."""

    likes: Mapping[str, float]
    weight: float


@frozen(eq=False)
class Synonyms:
    """Puts one word for all that mean the same."""

    _words: Mapping[str, str]
    _pattern: re.Pattern[str] | None

    @classmethod
    def of(cls, synonyms: Mapping[str, Iterable[str]]) -> Synonyms:
        words = {_spaced(each): word for word, same in synonyms.items() for each in same}
        longest = sorted(words, key=len, reverse=True)
        return cls(words, re.compile(rf"\b(?:{'|'.join(map(re.escape, longest))})\b") if words else None)

    def __call__(self, text: str) -> str:
        """Return a text in lower case, with these words in place of their synonyms."""
        text = _spaced(text)
        return text if self._pattern is None else self._pattern.sub(lambda match: self._words[match[0]], text)


def _spaced(text: str) -> str:
    return " ".join(text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").split())


def _weight(feature: str) -> float:
    """Return how much a word weighs beside others, or a pair of words beside single ones."""
    if " " in feature:
        one, other = feature.split(" ")
        return _PAIR_WEIGHT * max(_weight(one), 0.3) * max(_weight(other), 0.3)
    return _WEAK_WEIGHT if feature in WEAK else _COMMON_WEIGHT if feature in COMMON else 1.0


def _typical(count: int) -> float:
    """Return how typical a feature is of an intent: more, if several of its examples have it."""
    return 1 + log(count) / 3


def _features(text: str, known: Container[str] | None = None) -> Iterator[str]:
    """Yield the stems of the words of a text, and its pairs of neighbours. `check-in` and `check in` yield the same."""
    words = re.findall(r"[^\W_]+(?:-[^\W_]+)*", re.sub("'s?", "", text.lower()))
    parts = [part for word in words for part in word.split("-")]
    stems = [part if part in WEAK else stem(part) for part in parts]
    if known is None:
        yield from (stem(word.replace("-", "")) for word in words if "-" in word)
        yield from (each for part, each in zip(parts, stems, strict=True) if part in words or len(part) > 3)
    else:
        yield from stems
        joined = (stem(one + other) for one, other in pairwise(parts))
        yield from (each for each in joined if each in known)
    yield from (f"{one} {other}" for one, other in pairwise(stems))


@lru_cache(maxsize=4096)
def _related(word: str, known: Sequence[str], least: float) -> Mapping[str, float]:
    """Return the known words that this one may have been, with their similarity, which is at least `least`."""
    found: dict[str, float] = {}
    for other in known:
        if other != word and (likeness := _likeness(word, other)) and likeness >= least:
            found[other] = likeness
    return found


def _likeness(one: str, other: str) -> float:
    """Return how likely two stems are the same word, from 0 to 1."""
    short, long = sorted((one, other), key=len)
    if len(short) < 3 or len(long) - len(short) > 4:
        return 0.0
    if len(short) >= 4 and long.startswith(short):
        return _FORM
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
