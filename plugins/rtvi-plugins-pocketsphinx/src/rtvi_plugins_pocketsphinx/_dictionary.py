"""Which words can be recognised: those of the pronunciation dictionary that comes with PocketSphinx."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path

__all__ = ("installed", "knows", "nearest_word", "words")

#: How many words before and after a misspelt one are looked at, and how many letters longer or shorter they may be.
_NEIGHBOURS = 200
_MOST_LETTERS = 3


def installed() -> bool:
    """Whether PocketSphinx is here. It is not loaded: only the workers do that."""
    return find_spec("pocketsphinx") is not None


@cache
def words() -> Sequence[str]:
    """Every word, sorted; none where PocketSphinx is not installed. The first call reads 3 MB and takes some 60 ms."""
    found = find_spec("pocketsphinx")
    if found is None or not found.submodule_search_locations:
        return ()
    path = Path(found.submodule_search_locations[0], "model", "en-us", "cmudict-en-us.dict")
    with path.open(encoding="utf-8") as lines:
        # A second way to pronounce a word is listed as word(2).
        return tuple(sorted(word for line in lines if not (word := line.partition(" ")[0]).endswith(")")))


def knows(word: str) -> bool:
    """Whether the dictionary has a word, in lower case."""
    at = bisect_left(words(), word)
    return words()[at : at + 1] == (word,)


def nearest_word(word: str) -> str | None:
    """The word of the dictionary most like this one, among those near it that begin with the same two letters."""
    # Comparing with all 126,000 would hold up a server for seconds.
    word, listed = word[:40], words()
    at = bisect_left(listed, word)
    near = listed[max(0, at - _NEIGHBOURS) : at + _NEIGHBOURS]
    alike = [each for each in near if each.startswith(word[:2]) and abs(len(each) - len(word)) <= _MOST_LETTERS]
    return next(iter(get_close_matches(word, alike, n=1, cutoff=0.6)), None)
