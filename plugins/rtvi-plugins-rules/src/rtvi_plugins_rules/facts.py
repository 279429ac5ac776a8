"""Facts about the user: read from everything they said, and repeated to them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from .phrases import persons_name

__all__ = ("Facts", "keyed", "mirrored", "read_facts", "sentence")

# A value ends where the clause does; a full stop within a number does not end it.
_VALUE = r"(?P<value>\w.*?)(?=\s+(?:and|but|so)\s+(?:i|i'm|my|please|what|can|could)\b|[,;!?]|\.(?:\s|$)|$)"
_KEY = r"(?P<key>(?:[\w'-]+\s+){0,3}?[\w'-]+)"


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text.replace("VALUE", _VALUE).replace("KEY", _KEY), re.IGNORECASE)


#: How a fact is stated: the name to keep it under (None: as the user calls it), and the words.
_STATEMENTS: Sequence[tuple[str | None, re.Pattern[str]]] = (
    ("name", _pattern(r"\b(?:i am|i'm|they|people|friends)\s+call(?:ed|s)?\s+(?:me\s+)?VALUE")),
    ("name", _pattern(r"^(?:please\s+|you can\s+)?call me VALUE")),
    ("name", re.compile(r"\bI(?:'m| am) (?P<value>[A-Z][\w'-]*(?: [A-Z][\w'-]*)*)(?=[,;.!?]|$)")),
    ("home", _pattern(r"\bi(?:'m| am)?\s+(?:now\s+)?liv(?:e|ing)\s+(?P<how>in|at|near|on)\s+VALUE")),
    ("origin", _pattern(r"\bi(?:\s+come|\s+am|'m)\s+from\s+VALUE")),
    ("work", _pattern(r"\bi\s+work\s+(?P<how>at|as|in|for|with|on)\s+VALUE")),
    ("age", _pattern(r"\bi(?:\s+am|'m)\s+(?P<value>\w+(?:[\s-]\w+)?)\s+years\s+old")),
    ("liking", _pattern(r"\bi\s+(?:really\s+)?(?:like|love|enjoy)\s+VALUE")),
    (None, _pattern(r"\bmy\s+KEY\s+(?P<how>is|are|was)\s+VALUE")),
    (None, _pattern(r"\bmy\s+(?P<key>name)'s\s+VALUE")),
)
_NOTE = re.compile(
    r"\b(?:remember|note|keep in mind|don't forget)\s*(?:that\s+|:\s*)(?P<value>\w.*?)[.!?]*$", re.IGNORECASE
)

_SENTENCES: Mapping[str, str] = {
    "home": "You live {how} {value}.",
    "origin": "You come from {value}.",
    "work": "You work {how} {value}.",
    "age": "You are {value} years old.",
    "liking": "You like {value}.",
}


@frozen
class Fact:
    """A value, and the word that led to it: "in" of "I live in Paris"."""

    value: str
    how: str = "is"


@frozen
class Facts:
    """The facts from the user, the newest of each name, and other texts to remember, word by word."""

    stated: Mapping[str, Fact]
    notes: tuple[str, ...]

    def value(self, name: str) -> str | None:
        """The value of a fact, or None if the user never stated it."""
        fact = self.stated.get(keyed(name))
        return fact.value if fact is not None else None


def read_facts(said: Iterable[str], before: Facts | None = None) -> Facts:
    """Return the facts in what the user said, oldest first, and in what they said before."""
    stated: dict[str, Fact] = dict(before.stated) if before else {}
    notes: list[str] = list(before.notes) if before else []
    for text in said:
        new = dict(_stated(text))
        stated |= new
        notes += () if new else [match["value"] for match in _NOTE.finditer(text)]
    return Facts(stated, tuple(notes))


def _stated(text: str) -> Iterable[tuple[str, Fact]]:
    for name, pattern in _STATEMENTS:
        for match in pattern.finditer(text):
            found = match.groupdict()
            value = found["value"].strip()
            if not re.match(r"(?:not|what|called what)\b", value, re.IGNORECASE):
                key = name or keyed(found["key"])
                shown = persons_name(value) if key == "name" else value
                yield key, Fact(shown, (found.get("how") or "is").lower())


def keyed(name: str) -> str:
    """The name under which a fact is kept, whatever its spelling."""
    return re.sub(r"\s+", " ", name.lower()).strip().replace("color", "colour").replace("favorite", "favourite")


def sentence(facts: Facts, name: str) -> str | None:
    """Return a sentence that repeats a fact to the user; None if they never stated it."""
    fact = facts.stated.get(keyed(name))
    if fact is None:
        return None
    template = _SENTENCES.get(keyed(name), "Your {name} {how} {value}.")
    return template.format(name=keyed(name), how=fact.how, value=mirrored(fact.value))


_MIRROR = {"i": "you", "i'm": "you are", "me": "you", "my": "your", "mine": "yours", "am": "are", "myself": "yourself"}


def mirrored(text: str) -> str:
    """The user's words as the bot says them: "my key" becomes "your key"."""
    return re.sub(r"[\w']+", lambda match: _MIRROR.get(match[0].lower(), match[0]), text)
