"""Text filters: what is spoken of a sentence that is shown, and which part of the sentence was heard.

`without_markup` is the filter for markdown: it speaks the words, without marks, addresses, code and emoji. A
`TextFilter` has a table of pronunciations as well, and says numbers in words.

The module has more than 300 lines because every filter is one of these rules or is made of them.
"""

from __future__ import annotations

import html
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
from .number_words import NumberWords, number_words

__all__ = ("Part", "Spoken", "SpokenSentence", "TextFilter", "without_markup")

# ---- markup --------------------------------------------------------------------------------------------------------

#: A part of a sentence: the text that is shown, and the text that is spoken.
Part: TypeAlias = tuple[str, str]

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
        parts = [(sentence, sentence)] if spoken is None else _parts(sentence, spoken)
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


def _parts(sentence: str, spoken: Spoken) -> list[Part]:
    try:
        found: Any = spoken(sentence)
        parts = [(sentence, found)] if isinstance(found, str) else [(shown, said) for shown, said in found]
        if (
            not all(isinstance(each, str) for part in parts for each in part)
            or "".join(shown for shown, _ in parts) != sentence
        ):
            raise AuthorError(
                f"{where(spoken)} gave something else than a text, or than pairs whose first halves are the sentence. "
                "Return the text to speak, or pairs of texts: as shown, as spoken."
            )
    except BaseException as error:
        reraise_control_flow(error)
        report(where(spoken), error)
        return [(sentence, sentence)]
    return [(shown, replace_surrogates(said)) for shown, said in parts]


#: Lines without words: a block of code, a rule, the line under a heading or under the head of a table.
_CODE: Final = re.compile(r"(`{3,}|~{3,})[^\n`~]*(?:\n|$)")

_RULE: Final = re.compile(r"\s*(?:([-*_=])(?:\s*\1){2,}|\|?\s*:?-+:?(?:\s*\|\s*:?-+:?)+\s*\|?|\|\s*:?-+:?\s*\|)\s*")

#: Marks before the words of a line: of a quotation, a heading, a bullet, a box to tick.
_BEFORE: Final = re.compile(r"\s*(?:>\s*|#{1,6}\s+|[-*+•▪◦](?:\s+(?:\[[ xX]\]\s+)?|$))+")

_AFTER_HEADING: Final = re.compile(r"\s+#+\s*$")

_EMOJI: Final = (
    "(?:[\U0001f000-\U0001f0ff\U0001f10d-\U0001faff\u2600-\u2775\u2794-\u27bf\u2b00-\u2bff\u231a\u231b\u23e9-\u23fa"
    "\u25aa-\u25fe][\ufe0e\ufe0f\u200d\u20e3\U000e0020-\U000e007f]*)+"
)

_NOT_IN_URL: Final = "\\s<>\"'“”«»`|。、，！？；：（）「」『』【】《》"

_IN_BRACKETS: Final = rf"\([^{_NOT_IN_URL}()]*\)"

_URL: Final = (
    rf"(?:(?:https?|ftp)://|www\.)(?:[^{_NOT_IN_URL}()]|{_IN_BRACKETS})*"
    rf"(?:[^{_NOT_IN_URL}.,;:!?()\]}}*_~…]|{_IN_BRACKETS})"
)

_TARGET: Final = r"\((?:[^()\s]|\([^()\s]*\))*(?:\s+(?:\"[^\"]*\"|'[^']*'))?\)"

_INLINE: Final = re.compile(
    rf"""
      (?P<escaped> \\ [\\`*_{{}}\[\]()\#+.!~>|-] )
    | (?P<code> (?P<ticks> `+ ) (?P<coded> [^`]+ ) (?P=ticks) )
    | (?P<image> !\[ (?P<alt> [^\[\]]* ) \] {_TARGET} )
    | (?P<note> \[\^ [^\[\]\s]+ \] :? )
    | (?P<link> \[ (?P<text> (?: [^\[\]] | \[ [^\[\]]* \] )* ) \] {_TARGET} )
    | (?P<named> (?<! [a-z0-9_\]] ) \[ (?P<label> [^\[\]]* ) \] \[ [^\[\]]* \] )
    | (?P<opened> \[ (?= !\[ ) )
    | (?P<target> \] {_TARGET} )
    | (?P<address> < (?: mailto: )? (?P<mail> [^<>\s@]+ @ [^<>\s@]+ ) > )
    | (?P<linked> < (?P<url> {_URL} ) > )
    | (?P<bare> (?<![a-z0-9]) {_URL} )
    | (?P<tag> </? (?: b | i | u | em | strong | code | div | span | br ) (?: \s [^<>]* )? /? > | <!-- .*? --> )
    | (?P<entity> & (?: nbsp | amp | lt | gt | quot | apos | \#39 ) ; )
    | (?P<key> [0-9\#*] \ufe0f? \u20e3 )
    | (?P<emoji> [ ]? {_EMOJI} )
    | (?P<cell> (?<!\s) \s* (?: \| \s* )+ )
    | (?P<marks> \*+ | _+ | ~~+ )
    | (?P<tick> `+ )
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)

_HOST: Final = re.compile(r"(?:\w+://)?(?:[^/?#@]*@)?(?:www\.)?([^/?#:]+)", re.IGNORECASE)


def without_markup(sentence: str) -> list[Part]:
    """Return the parts of a sentence, with the text to speak for each: the words without markdown.

    Emphasis, headings, bullets and quotations are spoken without their marks, links and images as their text, code
    within a sentence as it is, a web address as its host name, and the cells of a table with commas between them.
    Blocks of code and emoji are not spoken. Text without markdown is spoken as it is.
    """
    if _CODE.match(sentence) or _RULE.fullmatch(sentence):
        return [(sentence, "")]
    parts: list[Part] = []
    start, end = 0, len(sentence)
    if before := _BEFORE.match(sentence):
        start = before.end()
        parts.append((before[0], ""))
        if "#" in before[0] and (after := _AFTER_HEADING.search(sentence, start)):
            end = after.start()
    parts.extend(_inline(sentence[start:end], is_row=sentence.startswith("|", start)))
    if end < len(sentence):
        parts.append((sentence[end:], ""))
    spoken = "".join(each for _, each in parts)
    if spoken != sentence and not any(map(str.isalnum, spoken)):
        return [(sentence, "")]
    return parts


def _inline(text: str, *, is_row: bool = False) -> Iterator[Part]:
    at = 0
    for match in _INLINE.finditer(text):
        if match.start() > at:
            yield text[at : match.start()], text[at : match.start()]
        at = match.end()
        kind = match.lastgroup or ""
        if kind in ("link", "named"):
            text_of_link = match["text" if kind == "link" else "label"]
            yield "[", ""
            yield from _inline(text_of_link)
            yield match[0][1 + len(text_of_link) :], ""
        elif kind == "cell":
            yield match[0], _between_cells(match, is_row=is_row)
        else:
            yield from _SPOKEN[kind](match)
    if at < len(text):
        yield text[at:], text[at:]


def _not(match: re.Match[str]) -> Iterator[Part]:
    yield match[0], ""


def _inner(group: str) -> Callable[[re.Match[str]], Iterator[Part]]:
    """Return a function that speaks one group of a match, and nothing around it."""

    def parts(match: re.Match[str]) -> Iterator[Part]:
        start, end = match.start(group) - match.start(), match.end(group) - match.start()
        yield match[0][:start], ""
        yield match[group], match[group]
        yield match[0][end:], ""

    return parts


def _url(match: re.Match[str]) -> Iterator[Part]:
    host = _HOST.match(match["url"] or match[0])
    assert host is not None
    start = match[0].index(host[0]) + host.start(1)
    yield match[0][:start], ""
    yield host[1], host[1]
    yield match[0][start + len(host[1]) :], ""


def _entity(match: re.Match[str]) -> Iterator[Part]:
    yield match[0], html.unescape(match[0]).replace("\xa0", " ")


def _key(match: re.Match[str]) -> Iterator[Part]:
    yield match[0][0], match[0][0]
    yield match[0][1:], ""


def _space(match: re.Match[str]) -> Iterator[Part]:
    """Speak a space between two words that only an emoji or a tag separates."""
    before, after = _around(match)
    parts_words = not before.isspace() and after.isalnum()
    yield match[0], " " if parts_words else ""


def _marks(match: re.Match[str]) -> Iterator[Part]:
    yield match[0], match[0] if _is_text(match) else ""


def _is_text(match: re.Match[str]) -> bool:
    """Return whether marks are text and not emphasis: they stand alone, or within a word or a number."""
    (before, after), mark = _around(match), match[0][0]
    if before.isspace() and after.isspace():
        return True
    if mark == "~":
        return False
    if before.isalnum() and after.isalnum():
        if mark == "_" or before.isdigit() or after.isdigit():
            return True
        return match[0] == "*" and match.string.count("*") == 1
    return match[0] == "*" and match.string.count("*") == 1 and (before.isdigit() or after.isdigit())


def _between_cells(match: re.Match[str], *, is_row: bool) -> str:
    before, after = _around(match)
    if before.isspace() or after.isspace():  # at either end of the line
        return ""
    return ", " if is_row or match[0] != "|" else match[0]


def _around(match: re.Match[str]) -> tuple[str, str]:
    text = match.string
    return text[match.start() - 1 : match.start()] or " ", text[match.end() : match.end() + 1] or " "


_SPOKEN: Final[Mapping[str, Callable[[re.Match[str]], Iterator[Part]]]] = {
    "escaped": lambda match: iter([("\\", ""), (match[0][1], match[0][1])]),
    "code": _inner("coded"),
    "image": _inner("alt"),
    "note": _not,
    "opened": _not,
    "target": _not,
    "address": _inner("mail"),
    "linked": _url,
    "bare": _url,
    "tag": _space,
    "entity": _entity,
    "key": _key,
    "emoji": _space,
    "marks": _marks,
    "tick": _not,
}


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
