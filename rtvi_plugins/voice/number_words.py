"""Numbers, dates, times and amounts of money, in the words of a language.

The words come from the Unicode CLDR: `unicode_rbnf` spells numbers, and Babel has the names of months and currencies
and the form of numbers and dates. Both are the extra `rtvi-plugins[numbers]`, imported by the functions that use them:
most bots need neither. This module only finds what to spell, and leaves what it is not sure about to the voice.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Literal

from attrs import define, field

from ..errors import AuthorError

if TYPE_CHECKING:
    from babel import Locale
    from unicode_rbnf import RbnfEngine

__all__ = ("NumberWords", "number_words")

_CURRENCIES: Final = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY", "₹": "INR", "₩": "KRW", "₺": "TRY", "₽": "RUB"}
_CODES: Final = "EUR|USD|GBP|CHF|JPY|CAD|AUD|SEK|NOK|DKK|PLN|CZK|INR|CNY"
#: How a time is read: the word after the hour for one and for several, and the gender of the hour's number.
_HOURS: Final = {"de": ("Uhr", "Uhr", "masculine"), "fr": ("heure", "heures", "feminine"), "nl": ("uur", "uur", "")}
#: From this many digits on, a number without separators is a code, and is read digit by digit.
_CODE_DIGITS: Final = 7

_ISO: Final = r"(?P<iso>\d{4}-\d{2}-\d{2})"
_DATE: Final = r"(?P<date>\d{1,2}(?P<between>[./])\d{1,2}(?P=between)\d{4})"
_TIME: Final = r"(?P<time>(?:[01]?\d|2[0-3]):[0-5]\d)(?:\s?(?P<half>[ap])(?:m\b|\.m\.)|\s(?P<clock>Uhr|uur)\b)?"
_PHONE: Final = r"(?P<phone>\+\d[\d /()-]{5,}\d)"


@define(eq=False)
class NumberWords:
    """Finds numbers in a text, and returns the words for them, in one language."""

    locale: Locale
    _engine: RbnfEngine
    _pattern: re.Pattern[str] = field(init=False)
    _decimal: str = field(init=False)
    _groups: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        from babel.numbers import get_decimal_symbol, get_group_symbol

        self._decimal, group = get_decimal_symbol(self.locale), get_group_symbol(self.locale)
        self._groups = "\u202f\xa0" if group.isspace() else group  # a plain space may stand between two numbers
        number = rf"\d{{1,3}}(?:[{re.escape(self._groups)}]\d{{3}})+(?!\d)(?:{re.escape(self._decimal)}\d+)?"
        number = rf"(?:{number}|\d+(?:{re.escape(self._decimal)}\d+)?)"
        signs = re.escape("".join(_CURRENCIES))
        before = rf"(?P<sign>[{signs}]|(?:{_CODES})(?=\s?\d))\s?(?P<amount>{number})"
        money = rf"{before}|(?P<sum>{number})\s?(?P<unit>[{signs}]|(?:{_CODES})\b)"
        ordinal = r"(?P<ordinal>\d+)(?:st|nd|rd|th)\b" if self.locale.language == "en" else r"(?P<ordinal>(?!))"
        plain = rf"(?P<percent>{number})\s?%|(?P<number>[-−]?{number})"
        # Not within a word, a version, an address or a fraction.
        self._pattern = re.compile(
            rf"(?<![\w.,:/+#@-])(?:{_ISO}|{_DATE}|{_TIME}|{_PHONE}|{money}|{ordinal}|{plain})(?![\w%€$£]|[.,:/@-]\w)"
        )

    def find(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Yield where in the text something is to be spelled: its start, its end, and the words."""
        for match in self._pattern.finditer(text):
            words = self._words(match)
            if words is not None:
                yield match.start(), match.end(), words

    def _words(self, match: re.Match[str]) -> str | None:
        groups = match.groupdict()
        before = match.string[: match.start()].split()
        if (day := groups["iso"] or groups["date"]) is not None:
            return self._date(day, before[-1].lower() if before else "")
        if (time := groups["time"]) is not None:
            return self._time(time, groups["half"])
        if (phone := groups["phone"]) is not None:
            return self._digits(phone)
        if groups["sign"] or groups["unit"]:
            return self._money(groups["amount"] or groups["sum"], groups["sign"] or groups["unit"])
        if (ordinal := groups["ordinal"]) is not None:
            return self._spell(ordinal, "ordinal")
        if (percent := groups["percent"]) is not None:
            from babel.units import format_unit

            unit, words = format_unit(2, "concentr-percent", "long", locale=self.locale), self._number(percent)
            return None if words is None else unit.replace("2", words)
        return self._number(groups["number"])

    def _number(self, written: str) -> str | None:
        sign, digits = ("-", written[1:]) if written[0] in "-−" else ("", written)
        if self._decimal in digits and digits.endswith("0"):
            return None  # a version, or a precision that the words would not have
        if digits.isdigit() and (len(digits) >= _CODE_DIGITS or (digits[0] == "0" and len(digits) > 1)):
            return self._digits(written)
        is_year = not sign and re.fullmatch(r"(?:19|20)\d\d", digits) is not None
        words = self._spell(self._plain(digits), "year" if is_year else "cardinal")
        return words if not sign else self._spell(-1).replace(self._spell(1), words)

    def _plain(self, written: str) -> str:
        """Return a number as Python writes it."""
        for each in self._groups:
            written = written.replace(each, "")
        return written.replace(self._decimal, ".")

    def _spell(self, number: str | int, purpose: Literal["cardinal", "ordinal", "year"] = "cardinal") -> str:
        from unicode_rbnf import FormatPurpose

        return self._engine.format_number(str(number), FormatPurpose[purpose.upper()]).text.replace("\xad", "")

    def _with(self, number: int, ruleset: str) -> str:
        """Spell a number in a form that not every language has, such as its masculine."""
        if ruleset not in self._engine.rulesets:
            return self._spell(number)
        return self._engine.format_number(number, ruleset_names=[ruleset]).text.replace("\xad", "")

    def _digits(self, text: str) -> str:
        zero_to_nine = (self._spell(each) for each in text if each.isdigit())
        return " ".join(("plus", *zero_to_nine) if text.startswith("+") else zero_to_nine)

    def _money(self, written: str, unit: str) -> str | None:
        whole, _, cents = self._plain(written).partition(".")
        if len(cents) > 2:
            return None
        words = f"{self._with(int(whole), 'spellout-cardinal-masculine')} {self._currency(unit, int(whole))}"
        return f"{words} {self._spell(int(cents.ljust(2, '0')))}" if int(cents or 0) else words

    def _currency(self, unit: str, count: int) -> str:
        from babel.numbers import get_currency_name

        return get_currency_name(_CURRENCIES.get(unit, unit), count, locale=self.locale)

    def _time(self, written: str, half: str | None) -> str | None:
        hour, minute = map(int, written.split(":"))
        language = self.locale.language
        if language == "en":
            end = "" if half is None else f" {half} m"
            minutes = (
                f" {'oh ' if 0 < minute < 10 else ''}{self._spell(minute)}" if minute else "" if end else " o'clock"
            )
            return self._spell(hour) + minutes + end
        if language not in _HOURS or half is not None:
            return None
        one, more, gender = _HOURS[language]
        words = f"{self._with(hour, f'spellout-cardinal-{gender}')} {one if hour == 1 else more}"
        return f"{words} {self._spell(minute)}" if minute else words

    def _date(self, written: str, before: str) -> str | None:
        from babel.dates import format_date, get_date_format

        try:
            date = datetime.date.fromisoformat(written) if "-" in written else self._local_date(written)
        except ValueError:
            return None
        pattern = get_date_format("long", self.locale).pattern
        if not re.search(r"\bd\b", pattern) or "MMMM" not in pattern:
            return format_date(date, "long", self.locale)
        pattern_of_month = re.sub(r"\bd\b\.?", "'#'", re.sub(r"\by+\b", "'@'", pattern))
        is_ordinal = self.locale.language == "en" or re.search(r"\bd\.", pattern) is not None
        day = self._ordinal_day(date.day, before) if is_ordinal else self._spell(date.day)
        year = self._spell(date.year, "year")
        return format_date(date, pattern_of_month, self.locale).replace("#", day).replace("@", year)

    def _ordinal_day(self, day: int, before: str) -> str:
        if self.locale.language == "de" and before != "der":
            return self._with(day, "spellout-ordinal-n")  # "am dritten Mai", but "der dritte Mai"
        return self._spell(day, "ordinal")

    def _local_date(self, written: str) -> datetime.date:
        """Return a date written as the language writes it: with the day or the month first."""
        first, second, year = map(int, re.split(r"[./]", written))
        pattern: str = self.locale.date_formats["short"].pattern
        month_first = "/" in written and pattern.index("M") < pattern.index("d")
        day, month = (second, first) if month_first else (first, second)
        return datetime.date(year, month, day)


def number_words(language: str) -> NumberWords:
    """Return the words of a language, by a code such as `"de"` or `"en-GB"`.

    Raise `AuthorError` if there are none, `ImportError` if the extra is not installed.
    """
    from babel import Locale, UnknownLocaleError
    from unicode_rbnf import RbnfEngine

    try:
        locale = Locale.parse(language.replace("-", "_"))
        names = (f"{locale.language}_{locale.territory}", locale.language)
        known = set(RbnfEngine.get_supported_languages())
        return NumberWords(locale, RbnfEngine.for_language(next(each for each in names if each in known)))
    except (ValueError, UnknownLocaleError, StopIteration):
        message = f"there are no words for numbers in the language {language!r}. Give a code such as 'de' or 'en-GB'."
        raise AuthorError(message) from None
