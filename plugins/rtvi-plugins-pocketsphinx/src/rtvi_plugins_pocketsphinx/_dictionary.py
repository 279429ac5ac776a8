"""The words that can be recognised: those of PocketSphinx's pronunciation dictionary."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path

__all__ = ("installed", "knows", "nearest_word", "words")

#: How many words before and after a misspelt word are compared, and by how many letters their lengths may differ.
_NEIGHBOURS = 200
_MOST_LETTERS = 3


def installed() -> bool:
    """Return whether PocketSphinx is installed, without loading it."""
    return find_spec("pocketsphinx") is not None


@cache
def words() -> Sequence[str]:
    """Return all words, sorted; none if PocketSphinx is not installed. The first call reads 3 MB in some 60 ms."""
    found = find_spec("pocketsphinx")
    if found is None or not found.submodule_search_locations:
        return ()
    path = Path(found.submodule_search_locations[0], "model", "en-us", "cmudict-en-us.dict")
    with path.open(encoding="utf-8") as lines:
        # An alternative pronunciation is listed as word(2).
        return tuple(sorted(word for line in lines if not (word := line.partition(" ")[0]).endswith(")")))


def knows(word: str) -> bool:
    """Return whether a word, in lower case, is in the dictionary."""
    at = bisect_left(words(), word)
    return words()[at : at + 1] == (word,)


def nearest_word(word: str) -> str | None:
    """Return the most similar word, among those nearby that begin with the same two letters."""
    # A comparison with all 126,000 words would block a server for seconds.
    word, listed = word[:40], words()
    at = bisect_left(listed, word)
    near = listed[max(0, at - _NEIGHBOURS) : at + _NEIGHBOURS]
    alike = [each for each in near if each.startswith(word[:2]) and abs(len(each) - len(word)) <= _MOST_LETTERS]
    return next(iter(get_close_matches(word, alike, n=1, cutoff=0.6)), None)
