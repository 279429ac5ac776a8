"""Days, and how long somebody stays."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ("DAY", "capitalised", "nights_in")

_WEEKDAYS: Sequence[str] = "monday tuesday wednesday thursday friday saturday sunday".split()
_ANY_WEEKDAY = "|".join(_WEEKDAYS)
_FROM_TO = re.compile(rf"\b({_ANY_WEEKDAY})\s+(?:till?|until|to|through)\s+({_ANY_WEEKDAY})\b", re.IGNORECASE)
#: Lengths of a stay that have a word of their own.
_LENGTHS: Sequence[tuple[re.Pattern[str], int]] = (
    (re.compile(r"\b(?:a|one) couple of (?:nights|days)\b", re.IGNORECASE), 2),
    (re.compile(r"\b(?:a|one) fortnight\b|\b(?:two|2) weeks\b", re.IGNORECASE), 14),
    (re.compile(r"\b(?:a|one|1|the whole) week\b(?!\s*end)", re.IGNORECASE), 7),
    (re.compile(r"\bweek-?\s?end\b", re.IGNORECASE), 2),
    (re.compile(r"\b(?:a|just the) (?:single )?night\b|\btonight\b|\bovernight\b", re.IGNORECASE), 1),
)


def nights_in(text: str) -> int | None:
    """Return the nights of "a week" or "from Friday to Sunday"; None if a text has no such words."""
    if (match := _FROM_TO.search(text)) is not None:
        first, last = (_WEEKDAYS.index(each.lower()) for each in match.groups())
        return (last - first) % 7 or 7
    return next((nights for pattern, nights in _LENGTHS if pattern.search(text)), None)


_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_ORDINALS = (
    r"\d{1,2}(?:st|nd|rd|th)?|(?:twenty[\s-])?(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth)|tenth|eleventh|"
    r"twelfth|thirteenth|fourteenth|fifteenth|sixteenth|seventeenth|eighteenth|nineteenth|twentieth|thirtieth|thirty[\s-]first"
)
#: A day as people say it.
DAY = re.compile(
    rf"\b(?:the\s+)?(?:{_ORDINALS})\s+(?:of\s+)?(?:{_MONTHS})\b|\b(?:{_MONTHS})\s+(?:the\s+)?(?:{_ORDINALS})\b"
    rf"|\b(?:today|tonight|the day after tomorrow|tomorrow|next week(?!\s*end)|(?:next\s+)?(?:{_ANY_WEEKDAY}))\b",
    re.IGNORECASE,
)


def capitalised(text: str) -> str:
    """Return a day as it is written: recognisers write "friday"."""
    return re.sub(rf"\b(?:{_ANY_WEEKDAY}|{_MONTHS})\b", lambda name: name[0].capitalize(), text)
