"""Text filters: what is spoken of a sentence that is shown, and which part of the sentence was heard.

A `TextFilter` speaks the words without markdown, has a table of pronunciations, and says numbers in words.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, TypeAlias, cast

from attrs import define, field, frozen

from ..errors import AuthorError, report
from ..utils.error_texts import where
from ..utils.install_hint import install_hint
from ..utils.json_values import is_object, replace_surrogates
from ..utils.plugin_calls import reraise_control_flow
from .markdown import Part, without_markup
from .number_words import NumberWords, number_words

__all__ = ("Spoken", "SpokenSentence", "TextFilter")

# ---- filters -------------------------------------------------------------------------------------------------------

#: A text filter: takes a sentence, and returns the text to speak, or the parts of the sentence in order.
Spoken: TypeAlias = Callable[[str], str | Iterable[Part]]


@frozen
class SpokenSentence:
    """A sentence and its parts."""

    shown: str
    parts: Sequence[Part]
    #: The text for the TTS; empty if nothing is spoken.
    text: str
    #: How many characters of space were removed before the text.
    _skipped: int

    @classmethod
    def of(cls, sentence: str, spoken: Spoken | None) -> SpokenSentence:
        """Apply a text filter. If it fails, that is logged, and the sentence is spoken as it is."""
        parts = [(sentence, sentence)] if spoken is None else _parts_of(sentence, spoken)
        text = "".join(each for _, each in parts)
        return cls(sentence, parts, text.strip(), len(text) - len(text.lstrip()))

    def shown_until(self, position: int) -> int:
        """Return how many characters of the sentence were heard, if this many of `text` were."""
        if position >= len(self.text):
            return len(self.shown)
        left, shown = position + self._skipped, 0
        for as_shown, as_spoken in self.parts:
            is_joined = shown > 0 and not any(each.isspace() for each in self.shown[shown - 1 : shown + 1])
            if left <= 0 and (as_spoken or not is_joined):
                break  # marks behind the last word belong to it, those before the next word do not
            if len(as_spoken) > left:
                return shown + _share(as_shown, as_spoken, left)
            left -= len(as_spoken)
            shown += len(as_shown)
        return shown


def _share(shown: str, spoken: str, heard: int) -> int:
    """Return how much of a part was heard: exactly if it is spoken as it is shown, else in whole words."""
    if shown == spoken:
        return heard
    share = len(shown) * heard // len(spoken)
    return share if shown[share].isspace() else max(shown.rfind(" ", 0, share), 0)


def _parts_of(sentence: str, spoken: Spoken) -> list[Part]:
    try:
        filtered: Any = spoken(sentence)
        parts = [(sentence, filtered)] if isinstance(filtered, str) else [(shown, said) for shown, said in filtered]
        are_texts = all(isinstance(each, str) for part in parts for each in part)
        if not are_texts or "".join(shown for shown, _ in parts) != sentence:
            raise AuthorError(
                f"{where(spoken)} returned neither a text nor pairs whose first halves are the sentence. "
                "Return the text to speak, or pairs of texts: as shown, as spoken."
            )
    except BaseException as error:
        reraise_control_flow(error)
        report(where(spoken), error)
        return [(sentence, sentence)]
    return [(shown, replace_surrogates(said)) for shown, said in parts]


# ---- pronunciation and numbers -------------------------------------------------------------------------------------

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
        object.__setattr__(self, "_table", _pattern_of_words(self.pronounce))
        if isinstance(language, str):
            _words_of(language)

    def __call__(self, sentence: str) -> list[Part]:
        """Return the parts of a sentence, with the text to speak for each."""
        if not self.tables and sentence.lstrip().startswith("|"):
            return [(sentence, "")]
        words = self._number_words()
        return [part for shown, said in without_markup(sentence) for part in self._parts_of(shown, said, words)]

    def _parts_of(self, shown: str, said: str, words: NumberWords | None) -> Iterator[Part]:
        if shown != said:
            yield shown, said
            return
        at = 0
        for start, end, spoken in self._replacements(shown, words):
            if start > at:
                yield shown[at:start], shown[at:start]
            yield shown[start:end], spoken
            at = end
        if at < len(shown):
            yield shown[at:], shown[at:]

    def _replacements(self, text: str, words: NumberWords | None) -> Iterator[tuple[int, int, str]]:
        """Yield what is spoken otherwise, in order. SSML stays; the table comes before the words of numbers."""
        replacements: list[tuple[int, int, str]] = []
        taken = [each.span() for each in _TAG.finditer(text)]
        by_table = () if self._table is None else self._table.finditer(text)
        for start, end, spoken in (
            *((*each.span(), self.pronounce[each[0]]) for each in by_table),
            *(() if words is None else words.find(text)),
        ):
            if not any(start < until and since < end for since, until in taken):
                taken.append((start, end))
                replacements.append((start, end, spoken))
        yield from sorted(replacements)

    def _number_words(self) -> NumberWords | None:
        if self.language is None or isinstance(self.language, str):
            return None if self.language is None else _words_of(self.language)
        try:
            return _words_of(self.language())
        except BaseException as error:
            reraise_control_flow(error)
            report(where(self.language), error)
            return None


def _pattern_of_words(table: Mapping[str, str]) -> re.Pattern[str] | None:
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
