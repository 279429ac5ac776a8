"""Which words can be recognised: those of the pronunciation dictionary that comes with PocketSphinx."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path

__all__ = ("installed", "knows", "nearest_word", "words")


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
    """The word of the dictionary that looks most like this one, among those that begin with the same two letters."""
    # Comparing with all 126,000 would hold up a server for seconds.
    first = bisect_left(words(), word[:2])
    last = bisect_left(words(), word[:2] + "\U0010ffff")
    return next(iter(get_close_matches(word[:40], words()[first:last], n=1, cutoff=0.6)), None)
