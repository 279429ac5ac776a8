"""Cut text into parts: Piper makes the audio of a part at once, so short parts are heard sooner."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ("LONGEST", "parts")

#: The longest part, in characters: some 13 s of speech.
LONGEST = 200

#: Control characters and lone surrogates are not text. Piper reads what is between [[ and ]] as phonemes.
_UNSPEAKABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]|\[\[|\]\]")

#: Where a part may end, the best first: after a sentence, after a part of one, between words.
_ENDS = (
    re.compile(r"[.!?…。！？।؟]['\"”’)\]]*\s+|[。！？]"),
    re.compile(r"[,;:–—،、，]\s+|[、，]"),
    re.compile(r"\s+"),
)


def parts(text: str) -> Iterator[str]:
    """Cut a text after each sentence, and a sentence of more than `LONGEST` characters after a comma or a word."""
    rest = _UNSPEAKABLE.sub(" ", text).strip()
    while rest:
        at = _cut(rest)
        if part := rest[:at].strip():
            yield part
        rest = rest[at:]


def _cut(text: str) -> int:
    """Return the length of the next part."""
    first = _ENDS[0].search(text)
    if first is not None and first.end() <= LONGEST:
        return first.end()
    if len(text) <= LONGEST:
        return len(text)
    window = text[:LONGEST]
    for pattern in _ENDS[1:]:
        ends = [found.end() for found in pattern.finditer(window)]
        if ends:
            return ends[-1]
    return LONGEST
