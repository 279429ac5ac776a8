"""The text filter with a table of pronunciations, and with numbers in words."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Final, cast

from attrs import define, field

from ..errors import AuthorError, report
from ..utils.control_flow import reraise_control_flow
from ..utils.diagnostics import where
from ..utils.install_hint import install_hint
from ..utils.json_values import is_object
from .number_words import NumberWords, number_words
from .text_filter import Part, without_markup

__all__ = ("TextFilter",)

log = logging.getLogger("rtvi_plugins")

#: A tag of SSML, which is for the voice.
_TAG: Final = re.compile(r"</?[a-z][^<>]*>")
#: From here on, scripts write no spaces between words.
_UNSPACED: Final = "\u2e80"


@define(eq=False, frozen=True)
class TextFilter:
    """A text filter for `converse(spoken=…)`: the words without markdown, spoken as the bot's language speaks them.

    `pronounce` maps words and phrases to the text to speak instead; capitals count, and only whole words are replaced.
    With a `language`, such as `"de"` or `"en-GB"`, numbers, dates, times and amounts of money are spoken in its words;
    a function is asked for the language before each sentence. This needs the extra `rtvi-plugins[numbers]`: without it,
    numbers are left to the voice, and one warning is logged. Raise `AuthorError` for invalid values.
    """

    pronounce: Mapping[str, str] = field(factory=dict[str, str])
    language: str | Callable[[], str] | None = None
    #: Whether the cells of tables are spoken.
    tables: bool = field(default=True, kw_only=True)
    _table: re.Pattern[str] | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        table, language = cast("tuple[object, object]", (self.pronounce, self.language))
        if not is_object(table) or not all(isinstance(each, str) and key.strip() for key, each in table.items()):
            raise AuthorError(f"TextFilter(pronounce={table!r}): give a mapping of words to texts.")
        if language is not None and not isinstance(language, str) and not callable(language):
            raise AuthorError(f"TextFilter(language={language!r}): give a code such as 'de', or a function.")
        object.__setattr__(self, "_table", _pattern(self.pronounce))
        if isinstance(language, str):
            _words_of(language)

    def __call__(self, sentence: str) -> list[Part]:
        """Return the parts of a sentence, with the text to speak for each."""
        if not self.tables and sentence.lstrip().startswith("|"):
            return [(sentence, "")]
        words = self._words()
        return [part for shown, said in without_markup(sentence) for part in self._parts(shown, said, words)]

    def _parts(self, shown: str, said: str, words: NumberWords | None) -> Iterator[Part]:
        if shown != said:
            yield shown, said
            return
        at = 0
        for start, end, spoken in self._found(shown, words):
            if start > at:
                yield shown[at:start], shown[at:start]
            yield shown[start:end], spoken
            at = end
        if at < len(shown):
            yield shown[at:], shown[at:]

    def _found(self, text: str, words: NumberWords | None) -> Iterator[tuple[int, int, str]]:
        """Yield what is spoken otherwise, in order. SSML stays; the table comes before the words of numbers."""
        found: list[tuple[int, int, str]] = []
        taken = [each.span() for each in _TAG.finditer(text)]
        by_table = () if self._table is None else self._table.finditer(text)
        for start, end, spoken in (
            *((*each.span(), self.pronounce[each[0]]) for each in by_table),
            *(() if words is None else words.find(text)),
        ):
            if not any(start < until and since < end for since, until in taken):
                taken.append((start, end))
                found.append((start, end, spoken))
        yield from sorted(found)

    def _words(self) -> NumberWords | None:
        if self.language is None or isinstance(self.language, str):
            return None if self.language is None else _words_of(self.language)
        try:
            return _words_of(self.language())
        except BaseException as error:
            reraise_control_flow(error)
            report(where(self.language), error)
            return None


def _pattern(table: Mapping[str, str]) -> re.Pattern[str] | None:
    """Return a pattern of the words of a table, the longest first."""
    each = [
        f"{_edge(word[0], '(?<!')}{re.escape(word)}{_edge(word[-1], '(?!')}" for word in sorted(table, key=len)[::-1]
    ]
    return re.compile("|".join(each)) if each else None


def _edge(character: str, look: str) -> str:
    is_word = re.match(r"\w", character) is not None and character < _UNSPACED
    return rf"{look}\w)" if is_word else ""


@cache
def _words_of(language: str) -> NumberWords | None:
    """Return the words of a language, None if the extra is missing. Raise `AuthorError` if there are none."""
    try:
        return number_words(language)
    except ImportError as error:
        _warn(str(error.name))
        return None


@cache
def _warn(missing: str) -> None:
    hint = install_hint("rtvi-plugins[numbers]")
    log.warning("numbers are not spelled but left to the voice: %s is not installed; %s", missing, hint)
