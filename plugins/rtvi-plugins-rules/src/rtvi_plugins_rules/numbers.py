"""Numbers in a text, as digits or as words, and the sums that people ask for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise

from attrs import frozen

__all__ = ("DATE", "Number", "evaluate", "number_of", "numbers", "spell_number")

_UNITS = "zero one two three four five six seven eight nine".split()
_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_VALUES = {word: value for value, word in enumerate(_UNITS + _TEENS)} | {
    word: 10 * value for value, word in enumerate(_TENS, 2)
}


def _any(words: Iterable[str]) -> str:
    return f"(?:{'|'.join(words)})"


_UNIT = _any(_UNITS)
_BELOW_100 = rf"(?:{_any(_TENS)}(?:[\s-]{_UNIT})?|{_any(_TEENS)}|{_UNIT})"
_BELOW_1000 = rf"(?:(?:{_UNIT}|a)\s+hundred(?:\s+(?:and\s+)?{_BELOW_100})?|{_BELOW_100})"
_SPELLED = rf"(?:(?:{_BELOW_1000}|a)\s+thousand(?:\s+(?:and\s+)?{_BELOW_1000})?|{_BELOW_1000})"
# Fifteen digits are exact as a float too, which is what a client makes of a JSON number.
_DIGITS = r"-?(?:\d{1,3}(?:,\d{3}){1,4}|\d{1,15})(?:\.\d{1,9})?"
_NUMBER = re.compile(rf"(?<![\w.,])(?:{_DIGITS}|\b{_SPELLED}\b)(?![\w])", re.IGNORECASE | re.ASCII)

#: A calendar date as ISO 8601 writes it.
DATE = re.compile(r"(?<!\d)\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?!\d)", re.ASCII)


@frozen
class Number:
    """A number and its position in the text."""

    value: int | float
    start: int
    end: int


def numbers(text: str) -> list[Number]:
    """The numbers in a text, in order; those within a date are none."""
    dates = [match.span() for match in DATE.finditer(text)]
    found = (match for match in _NUMBER.finditer(text) if not any(a <= match.start() < b for a, b in dates))
    return [Number(number_of(match[0]), *match.span()) for match in found]


def number_of(text: str) -> int | float:
    """The value of one number, in digits or words."""
    if not re.search("[a-z]", text, re.IGNORECASE):
        digits = text.replace(",", "")
        return float(digits) if "." in digits else int(digits)
    total = current = 0
    for word in re.findall(r"[a-z]+", text.lower()):
        if word == "thousand":
            total, current = (current or 1) * 1000, 0
        elif word == "hundred":
            current = (current or 1) * 100
        else:
            current += _VALUES.get(word, 0)
    return total + current


def spell_number(value: int) -> str:
    """A whole number from 0 to 999 in words."""
    if value >= 100:
        rest = value % 100
        return f"{_UNITS[value // 100]} hundred" + (f" and {spell_number(rest)}" if rest else "")
    if value >= 20:
        return _TENS[value // 10 - 2] + (f"-{_UNITS[value % 10]}" if value % 10 else "")
    return (_UNITS + _TEENS)[value]


# ---- sums ----------------------------------------------------------------------------------------------------------

_OPERATORS = {
    "+": re.compile(r"\s*(?:\+|plus|and)\s*", re.IGNORECASE),
    "-": re.compile(r"\s*(?:-|−|minus|less)\s*", re.IGNORECASE),
    "*": re.compile(r"\s*(?:\*|×|x|times|multiplied by)\s*", re.IGNORECASE),
    "/": re.compile(r"\s*(?:/|÷|over|divided by)\s*", re.IGNORECASE),
}
#: Enough for any sum that is spoken, and few enough that the result stays readable.
_MOST_TERMS = 8


def evaluate(text: str) -> str | None:
    """The value of the sum in a text, or None where there is no sum. `ZeroDivisionError` as in arithmetic."""
    chain = numbers(text)[:_MOST_TERMS]
    between = [_operator(text[one.end : other.start]) for one, other in pairwise(chain)]
    if not between or None in between:
        return None
    terms = [Fraction(str(chain[0].value))]
    for operator, number in zip(between, chain[1:], strict=True):
        value = Fraction(str(number.value))
        match operator:
            case "*":
                terms[-1] *= value
            case "/":
                terms[-1] /= value
            case "-":
                terms.append(-value)
            case _:
                terms.append(value)
    return _shown(sum(terms, Fraction()))


def _operator(text: str) -> str | None:
    return next((sign for sign, pattern in _OPERATORS.items() if pattern.fullmatch(text)), None)


def _shown(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else f"{float(value):.10g}"
