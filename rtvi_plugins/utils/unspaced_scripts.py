"""Join texts as their languages do. Some write no spaces between words, and none between sentences either."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ("is_unspaced", "join_texts")

#: Thai and Lao, Burmese, Khmer, Chinese and Japanese.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]")


def is_unspaced(character: str) -> bool:
    """Return whether a character belongs to a script without spaces between words."""
    return _UNSPACED.match(character) is not None


def join_texts(texts: Iterable[str]) -> str:
    """Join texts, with a space between two of them unless both sides of it are in scripts without spaces."""
    joined = ""
    for text in texts:
        space = joined and text and not (is_unspaced(joined[-1]) and is_unspaced(text[0]))
        joined += f" {text}" if space else text
    return joined
